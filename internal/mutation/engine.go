package mutation

import "time"

// An Engine is a command, or a test of a package, that finds defects.
type Engine struct {
	// Name is what the table calls it.
	Name string
	// Package is what is built: a command, or with Test the package's tests.
	Package string
	// Test is a regular expression for the tests to run; empty: a command.
	Test string
	// Budget is how long a hunt may last, if the mutation does not say.
	Budget Budget
}

func (e *Engine) isTest() bool { return e.Test != "" }

// hunter is the command with the simulators and the model checker.
const hunter = "./internal/mutation/hunter"

// The simulators and the model checker.
var (
	// Core simulates bare cores (package coresim).
	Core = &Engine{Name: "coresim", Package: hunter, Budget: Budget{Seeds: 5_000, Time: 4 * time.Minute}}
	// Model explores all behaviours within small bounds (package modelcheck):
	// each of those counts as a seed, and each state as an event.
	Model = &Engine{Name: "modelcheck", Package: hunter, Budget: Budget{Seeds: 100, Time: 4 * time.Minute}}
	// Stack simulates whole nodes over the WAL (package rafttest).
	Stack = &Engine{Name: "rafttest", Package: hunter, Budget: Budget{Seeds: 200, Time: 4 * time.Minute}}
)

// test is the engine that runs one test of a package. It is for what the
// simulators do not find within their budgets: a loss of speed most often, or
// what takes a fault or a coincidence that they seldom have.
func test(pkg, name string) *Engine {
	return &Engine{Name: "go test " + pkg, Package: pkg, Test: "^" + name + "$", Budget: Budget{Seeds: 1, Time: time.Minute}}
}
