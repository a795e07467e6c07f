Feature: Filter events by status
  As a user
  I want to filter the events by status (draft, published, archived)
  So that I can easily find the relevant ones

  @list_events
  Scenario Outline: Filtering events by status
    Given there are events with different statuses
    And I am an authenticated user
    When I send a request to retrieve only events with the status "<status>"
    Then I receive only the events with that status

    Examples:
      | status    |
      | draft     |
      | published |
      | archived  |

  @list_events @422
  Scenario: Filtering events by a status that is none
    Given I am an authenticated user
    When I send a request to retrieve only events with the status "cancelled"
    Then the request is refused with 422
    And the faults are "/status"

  @list_events @401
  Scenario: Filtering events without being authenticated
    Given I am not authenticated
    When I send a request to retrieve only events with the status "draft"
    Then the request is refused with 401
