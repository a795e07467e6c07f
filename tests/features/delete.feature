Feature: Delete an event
  As a user
  I want to delete an event
  So that I can keep my event list relevant

  @delete_event
  Scenario: Successfully deleting an event
    Given I am an authenticated user
    And an existing event I previously created
    When I send a request to delete this event
    Then the event is no longer available

  @delete_event @404
  Scenario: An event is deleted once
    Given I am an authenticated user
    And an existing event I previously created
    When I send a request to delete this event
    And I send a request to delete this event
    Then the request is refused with 404

  @delete_event @404
  Scenario: Another user's event can not be deleted
    Given I am an authenticated user
    And an existing event of another user
    When I send a request to delete this event
    Then the request is refused with 404
    And the other user's event is as it was

  @delete_event @412
  Scenario: Somebody else changed it meanwhile
    Given I am an authenticated user
    And an existing event I previously created
    When I send a request to change its "title" to "Winter sale"
    And I send a request to delete the version I first read
    Then the request is refused with 412
    When I send a request to retrieve this event by its ID
    Then the event is still there

  @delete_event @401
  Scenario: Deleting an event without being authenticated
    Given I am an authenticated user
    And an existing event I previously created
    And I am not authenticated
    When I send a request to delete this event
    Then the request is refused with 401
