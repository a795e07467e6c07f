Feature: User Login
  As a user
  I want to log in with valid credentials
  So that I can receive a JWT token to access protected resources

  @login
  Scenario: Successful login
    Given I am a registered user with valid credentials
    When I send a login request with my email and password
    Then I receive a valid JWT token

  @login @401
  Scenario Outline: Unsuccessful login with invalid credentials
    Given I am a registered user with valid credentials
    When I send a login request with an incorrect <part>
    Then I receive an error message indicating invalid credentials

    Examples:
      | part     |
      | email    |
      | password |

  @login @401
  Scenario: A disabled account
    Given I am a registered user with valid credentials
    And an administrator disabled my account
    When I send a login request with my email and password
    Then I receive an error message indicating invalid credentials

  @login @429
  Scenario: Too many wrong passwords
    Given I am a registered user with valid credentials
    When I send 10 login requests with an incorrect password
    And I send a login request with my email and password
    Then the request is refused with 429
    And I am told when to try again

  @login @422
  Scenario: A login request with faults
    When I send a login request without a password
    Then the request is refused with 422
    And the faults are "/password"
