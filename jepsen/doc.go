// Package jepsen is the home of what tests zero as a whole, and of the rules of the house that no compiler checks.
//
// The package itself holds only tests, of the source tree: who may import whom, that the state machine is pure, that each
// package says what it is, and what a file may hold. What needs real processes builds on package fleet. Nothing in the
// tree imports jepsen or anything below it.
package jepsen
