// Package programstest lets tests run the programs that package programs builds:
// what is an error there ends the test here, and a process ends with the test
// that started it. It is for tests only.
package programstest
