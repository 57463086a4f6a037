// Package totals is what a run of tests or checks came to, and how all that `.ci/run` runs tell it so: a line
// `passed failed` at the end of a file.
package totals

import (
	"errors"
	"fmt"
	"os"
)

// Totals are tests that were run to an end.
type Totals struct{ Passed, Failed, Skipped int }

// Add adds o.
func (t *Totals) Add(o Totals) {
	t.Passed, t.Failed, t.Skipped = t.Passed+o.Passed, t.Failed+o.Failed, t.Skipped+o.Skipped
}

// String is for a person.
func (t Totals) String() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", t.Passed, t.Failed, t.Skipped)
}

// Append adds a line to a file; "": to none.
func Append(path string, passed, failed int) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("tell the totals: %w", err)
	}
	_, err = fmt.Fprintln(f, passed, failed)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("tell the totals: %w", err)
	}
	return nil
}
