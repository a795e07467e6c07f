Feature: User Login
  As a user
  I want to log in with valid credentials
  So that I can receive a JWT token to access protected resources

  @login
  Scenario: Successful login
    Given I am a registered user with valid credentials
    When I send a login request with my email and password
    Then I receive a valid JWT token

  @login @refused
  Scenario Outline: Unsuccessful login with invalid credentials
    Given I am a registered user with valid credentials
    When I send a login request with an incorrect <part>
    Then I receive an error message indicating invalid credentials

    Examples:
      | part     |
      | email    |
      | password |

  @login @refused
  Scenario: A login request with faults
    When I send a login request without a password
    Then the request is refused with 422
    And the faults are "/password"
