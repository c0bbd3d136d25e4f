//go:build race

package e2e

// raceFlag builds the programs under test as the tests themselves.
const raceFlag = "-race"
