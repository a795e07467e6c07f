Feature: Token Refresh
  As a user
  I want to refresh my authentication token when it is nearing expiration
  So that I can continue accessing protected resources without interruption

  @refresh_tokens
  Scenario: Successfully refreshing the token
    Given I have a valid refresh token
    When I send a token refresh request with my refresh token
    Then I receive a new valid JWT token

  @refresh_tokens @401
  Scenario: A refresh token works once, and using it twice ends the session
    Given I have a valid refresh token
    When I send a token refresh request with my refresh token
    And I send a token refresh request with my refresh token
    Then the request is refused with 401
    And the refresh token that replaced it is refused as well

  @refresh_tokens @401
  Scenario: A refresh token that was never given out
    When I send a token refresh request with "no-such-token"
    Then the request is refused with 401

  @refresh_tokens @401
  Scenario: A refresh token of a session that was ended
    Given I have a valid refresh token
    When I log out
    And I send a token refresh request with my refresh token
    Then the request is refused with 401

  @refresh_tokens @422
  Scenario: A refresh request with faults
    When I send a token refresh request that has something else
    Then the request is refused with 422
    And the faults are "/refresh_token /token"
