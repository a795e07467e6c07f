Feature: Read events in a calendar program
  As a user
  I want a private address of my calendar
  So that I see my campaigns beside my appointments

  @create_event_feed @get_calendar @get_event_feed
  Scenario: A calendar program reads events without signing in
    Given I am an authenticated user
    And there are events with different statuses
    When I ask for a private address of my calendar
    Then a calendar program reads the events "Summer sale, Open day" there
    And I see that the address was read

  @delete_event_feed
  Scenario: An address that was ended
    Given I am an authenticated user
    When I ask for a private address of my calendar
    And I end the private address
    Then nothing is at the address

  @create_event_feed @get_calendar @404
  Scenario: A new address ends the one before
    Given I am an authenticated user
    When I ask for a private address of my calendar
    And I ask for another private address of my calendar
    Then nothing is at the first address

  @get_event_feed @delete_event_feed @404
  Scenario: There is no address until one is asked for
    Given I am an authenticated user
    When I ask whether my calendar has a private address
    Then the request is refused with 404
    When I end the private address
    Then the request is refused with 404

  @get_calendar @404
  Scenario: An address that never was
    Given I am not authenticated
    When a calendar program reads at an address that never was
    Then the request is refused with 404

  @delete_event_feed @412
  Scenario: The address was replaced since I looked
    Given I am an authenticated user
    When I ask for a private address of my calendar
    And I ask whether my calendar has a private address
    And I ask for another private address of my calendar
    And I end the private address as I saw it
    Then the request is refused with 412

  @delete_event_feed
  Scenario: That the address was read is no change of it
    Given I am an authenticated user
    When I ask for a private address of my calendar
    And I ask whether my calendar has a private address
    Then a calendar program reads the events "" there
    When I end the private address as I saw it
    Then nothing is at the address

  @create_event_feed @get_event_feed @delete_event_feed @401
  Scenario: Private addresses are for users
    Given I am not authenticated
    When I ask for a private address of my calendar
    Then the request is refused with 401
    When I ask whether my calendar has a private address
    Then the request is refused with 401
    When I end the private address
    Then the request is refused with 401
