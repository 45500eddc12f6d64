package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{name: "a caught mutant is shown step by step", args: []string{"-mutant", "MyCnf"}, code: 0,
			want: []string{"caught in 1 steps: S1b", "  1. t=0  mysqld B restarts", "0 scopes, 0 of them open; 1 mutants; 0 wrong"}},
		{name: "without the trace", args: []string{"-mutant", "MyCnf", "-trace=false"}, code: 0, want: []string{"caught in 1 steps"}},
		{name: "a mutant that its scope cannot catch", args: []string{"-mutant", "MyCnf", "-scope", "agents"}, code: 1,
			want: []string{"NOT CAUGHT", "1 wrong"}},
		{name: "a scope that holds", args: []string{"-scope", "agents", "-all", "-settle", "64"}, code: 0, want: []string{"holds", "1 scopes, 0 of them open"}},
		{name: "a scope that does not end", args: []string{"-scope", "timing", "-states", "1000"}, code: 0, want: []string{"open: ", "1 of them open"}},
		{name: "a scope that must end", args: []string{"-scope", "timing", "-states", "1000", "-all"}, code: 1, want: []string{"open: "}},
		{name: "no such scope", args: []string{"-scope", "nowhere"}, code: exitUsage, want: []string{`no scope "nowhere"; there are plain, `}},
		{name: "no such mutant", args: []string{"-mutant", "R1"}, code: exitUsage, want: []string{`no mutant "R1"; there are VerifyGrant, `}},
		{name: "no budget", args: []string{"-budget", "0s"}, code: exitUsage, want: []string{"budget is 0s: it must be positive"}},
		{name: "an argument", args: []string{"plain"}, code: exitUsage, want: []string{`unexpected argument "plain"`}},
		{name: "help", args: []string{"-h"}, code: 0, want: []string{"-budget"}},
		{name: "no such flag", args: []string{"-fast"}, code: exitUsage, want: []string{"not defined: -fast"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			if code := run(t.Context(), tt.args, &out, &out); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output lacks %q:\n%s", want, out.String())
				}
			}
		})
	}
}
