Feature: Create a marketing event
  As a user
  I want to create a marketing event with a title, description, dates, and status
  So that I can plan my campaigns and organize my marketing actions

  @create_event
  Scenario: Successfully creating an event
    Given I am an authenticated user
    When I send a request to create an event with a title, description, start date, end date, and status
    Then the event is created
    And I receive its details with a unique identifier

  @create_event
  Scenario Outline: Dates come back as they were meant
    Given I am an authenticated user
    When I send a request to create an event from "<start>" to "<end>"
    Then the event is created
    And its dates are "<shown start>" and "<shown end>"

    Examples:
      | start                     | end                  | shown start              | shown end                |
      | 2097-06-20                | 2097-06-20           | 2097-06-20               | 2097-06-20               |
      | 2097-06-20T10:00:00+02:00 | 2097-06-20T09:30:00Z | 2097-06-20T08:00:00.000Z | 2097-06-20T09:30:00.000Z |

  @create_event
  Scenario: A request that is sent twice creates once
    Given I am an authenticated user
    When I send the same request to create an event twice with one idempotency key
    Then I have 1 event

  @create_event @422
  Scenario Outline: Faulty events are not created
    Given I am an authenticated user
    When I send a request to create an event whose "<field>" is "<value>"
    Then the request is refused with 422
    And the faults are "<faults>"
    And I have 0 events

    Examples:
      | field      | value                | faults      |
      | title      |                      | /title      |
      | status     | cancelled            | /status     |
      | start_date | soon                 | /start_date |
      | end_date   | 2020-01-01           | /end_date   |
      | end_date   | 2097-07-10T00:00:00Z | /end_date   |
      | colour     | red                  | /colour     |

  @create_event @422
  Scenario: An event that says nothing
    Given I am an authenticated user
    When I send a request to create an event without anything
    Then the request is refused with 422
    And the faults are "/title /start_date /end_date /status"

  @create_event @401
  Scenario: Creating an event without being authenticated
    Given I am not authenticated
    When I send a request to create an event with a title, description, start date, end date, and status
    Then the request is refused with 401
