// SpinKube's operator, and the definitions of its resources.
module nokube.dev/tests/control-plane/spin-operator

go 1.24.3

require github.com/spinkube/spin-operator v0.6.1
