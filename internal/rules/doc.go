// Package rules holds the tests of the house rules: who may import whom, what
// every package must have, what none may do, and which verbs of the Makefile
// people rely on. It has no code of its own.
//
// A rule stands here with its reason, and a test that fails prints both, so
// that whoever meets a rule can judge whether to follow it or to change it.
package rules
