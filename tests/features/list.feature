Feature: Retrieve events
  As a user
  I want to get a list of events I created
  So that I can visualize my campaign planning

  @list_events
  Scenario: Successfully retrieving events
    Given I am an authenticated user
    And there are existing events I previously created
    When I send a request to retrieve the list of events
    Then I receive the list of events I created

  @list_events
  Scenario: Other users' events are not in it
    Given I am an authenticated user
    And an existing event of another user
    When I send a request to retrieve the list of events
    Then I receive 0 events

  @list_events
  Scenario Outline: Searching, choosing dates and sorting
    Given I am an authenticated user
    And there are events with different statuses
    When I send a request to retrieve the list of events with "<query>"
    Then I receive the events "<titles>"

    Examples:
      | query                         | titles                |
      | q=sumM                        | Summer sale           |
      | q=sale                        | Summer sale, Old sale |
      | q=ale                         |                       |
      | from=2097-06-30&to=2097-08-31 | Summer sale, Open day |
      | from=2097-09-01               | Old sale              |
      | sort=-start_date              | Old sale, Open day, Summer sale |
      | sort=title                    | Old sale, Open day, Summer sale |

  @list_events @422
  Scenario: A query with faults
    Given I am an authenticated user
    When I send a request to retrieve the list of events with "status=gone&from=x&sort=colour&limit=0"
    Then the request is refused with 422
    And the faults are "/status /from /sort /limit"

  @list_events @401
  Scenario: Retrieving events without being authenticated
    Given I am not authenticated
    When I send a request to retrieve the list of events
    Then the request is refused with 401
