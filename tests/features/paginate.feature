Feature: Paginate the list of events
  As a user
  I want to paginate the event list
  So that I can avoid loading too much data at once

  @list_events
  Scenario: Successfully retrieving paginated events
    Given there are multiple events
    And I am an authenticated user
    When I send a request to retrieve a specific page with a defined limit of events
    Then I receive only the requested number of events
    And I receive pagination metadata

  @list_events @422
  Scenario Outline: A page that is none
    Given I am an authenticated user
    When I send a request to retrieve the list of events with "<query>"
    Then the request is refused with 422
    And the faults are "<faults>"

    Examples:
      | query            | faults       |
      | page=0           | /page        |
      | limit=101        | /limit       |
      | page=x&limit=-1  | /page /limit |

  @list_events @401
  Scenario: A page without being authenticated
    Given I am not authenticated
    When I send a request to retrieve a specific page with a defined limit of events
    Then the request is refused with 401
