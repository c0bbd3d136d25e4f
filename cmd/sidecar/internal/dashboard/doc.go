// Package dashboard is what "sidecar top" shows: a row for each sidecar, and all
// about the one that is selected.
//
//	board := dashboard.New(names, dashboard.SortGiven, time.Second)
//	board.Take(report)
//	screen.Draw(board.Screen(columns, rows, time.Now()))
//
// It is told what the sidecars say, and returns lines. It asks nobody, and
// draws on nothing.
package dashboard
