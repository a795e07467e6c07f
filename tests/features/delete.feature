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

  @delete_event @refused
  Scenario: An event is deleted once
    Given I am an authenticated user
    And an existing event I previously created
    When I send a request to delete this event
    And I send a request to delete this event
    Then the request is refused with 404

  @delete_event @refused
  Scenario: Another user's event can not be deleted
    Given I am an authenticated user
    And an existing event of another user
    When I send a request to delete this event
    Then the request is refused with 404
    And the other user's event is as it was
