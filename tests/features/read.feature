Feature: Retrieve a single event
  As a user
  I want to retrieve the details of a specific event I created
  So that I can view its information

  @get_event
  Scenario: Successfully retrieving an event by ID
    Given I am an authenticated user
    And an existing event I previously created
    When I send a request to retrieve this event by its ID
    Then I receive the details of the event

  @get_event @404
  Scenario: Another user's event looks like none
    Given I am an authenticated user
    And an existing event of another user
    When I send a request to retrieve this event by its ID
    Then the request is refused with 404

  @get_event @401
  Scenario: Retrieving an event without being authenticated
    Given I am an authenticated user
    And an existing event I previously created
    And I am not authenticated
    When I send a request to retrieve this event by its ID
    Then the request is refused with 401

  @get_events_health
  Scenario: Whether the service works
    Given I am not authenticated
    When I ask whether the service of events works
    Then I am told that it does
