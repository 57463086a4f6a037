package main

import (
	"fmt"
	"strings"
)

// document makes docs/compatibility.md: one table for each client, one column for each target. It holds no times, so
// that it changes only when an outcome does.
func document(targets []string, outcomes []outcome) string {
	var b strings.Builder
	b.WriteString("# Clients that others wrote, on Millrace and on Apache Kafka\n\n")
	b.WriteString("Written by `make compat-both`, which starts both and drives them with the same programs. Do not edit.\n\n")
	b.WriteString("`make suites` runs the tests that franz-go itself comes with, against a Millrace of this tree; `go run ./sdk -theirs -target kafka` in\n" +
		"engine/compat does so against Apache Kafka.\n\n")
	b.WriteString("| client | checks |")
	for _, t := range targets {
		fmt.Fprintf(&b, " %s |", t)
	}
	b.WriteString("\n|---|---:|" + strings.Repeat("---:|", len(targets)) + "\n")
	for _, c := range clients {
		fmt.Fprintf(&b, "| %s | %d |", c.title, len(c.checks))
		for _, t := range targets {
			passed := 0
			for _, check := range c.checks {
				if result(outcomes, t, c.name, check) == "pass" {
					passed++
				}
			}
			if passed == 0 && c.ours && t != targets[0] {
				b.WriteString(" |")
				continue
			}
			fmt.Fprintf(&b, " %d pass |", passed)
		}
		b.WriteString("\n")
	}
	for _, c := range clients {
		fmt.Fprintf(&b, "\n## %s\n\n| feature |", c.title)
		for _, t := range targets {
			fmt.Fprintf(&b, " %s |", t)
		}
		b.WriteString("\n|---|" + strings.Repeat("---|", len(targets)) + "\n")
		for _, f := range features {
			row := "| " + f.title + " |"
			found := false
			for _, t := range targets {
				r := result(outcomes, t, c.name, f.check)
				found = found || r != ""
				row += " " + r + " |"
			}
			if found {
				b.WriteString(row + "\n")
			}
		}
	}
	return b.String()
}

func result(outcomes []outcome, target, client, check string) string {
	for _, o := range outcomes {
		if o.Target == target && o.Client == client && o.Check == check {
			return o.Result
		}
	}
	return ""
}
