Feature: Edit an existing event
  As a user
  I want to modify the details of an event
  So that I can update its information as needed

  @replace_event
  Scenario: Successfully updating an event
    Given I am an authenticated user
    And an existing event I previously created
    When I send a request to update this event with new details
    Then the event is updated
    And I receive the updated event details

  @update_event
  Scenario: Changing one detail keeps the others
    Given I am an authenticated user
    And an existing event I previously created
    When I send a request to change its "title" to "Winter sale"
    Then the event is updated
    And its description is kept

  @update_event
  Scenario Outline: An event moves between all statuses
    Given I am an authenticated user
    And an existing event I previously created
    When I send a request to change its "status" to "<from>"
    And I send a request to change its "status" to "<to>"
    Then the event is updated

    Examples:
      | from      | to        |
      | draft     | published |
      | published | archived  |
      | archived  | draft     |
      | draft     | archived  |
      | archived  | published |
      | published | draft     |

  @update_event @422
  Scenario: The end is not before the beginning
    Given I am an authenticated user
    And an existing event I previously created
    When I send a request to change its "end_date" to "2020-01-01"
    Then the request is refused with 422
    And the faults are "/end_date"

  @replace_event @update_event @412
  Scenario: Somebody else changed it meanwhile
    Given I am an authenticated user
    And an existing event I previously created
    When I send a request to change its "title" to "Winter sale"
    And I send a request to change the version I first read
    Then the request is refused with 412
    When I send a request to replace the version I first read
    Then the request is refused with 412

  @replace_event @422
  Scenario: An update names everything
    Given I am an authenticated user
    And an existing event I previously created
    When I send a request to update this event with a title alone
    Then the request is refused with 422
    And the faults are "/start_date /end_date /status"

  @replace_event @update_event @401
  Scenario: Changing an event without being authenticated
    Given I am an authenticated user
    And an existing event I previously created
    And I am not authenticated
    When I send a request to update this event with new details
    Then the request is refused with 401
    When I send a request to change its "title" to "Mine"
    Then the request is refused with 401

  @replace_event @update_event @404
  Scenario: Another user's event can not be changed
    Given I am an authenticated user
    And an existing event of another user
    When I send a request to update this event with new details
    Then the request is refused with 404
    When I send a request to change its "title" to "Mine"
    Then the request is refused with 404
    And the other user's event is as it was
