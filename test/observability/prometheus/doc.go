// Package prometheus holds the tests of the dashboards and of the rules: a
// Prometheus scrapes real sidecars under load and answers what the panels and rules
// ask, and promtool makes each alert fire and clear. Both are those of Debian's
// package prometheus; a later version does as well.
package prometheus
