package fuzz

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Progress is how far a target came. Its next execution has the number Executions.
type Progress struct {
	Package    string   `json:"package,omitempty"`
	Target     string   `json:"target"`
	Seed       uint64   `json:"seed"`
	Executions int64    `json:"executions"`
	Seconds    float64  `json:"seconds"`
	Corpus     int      `json:"corpus"`
	Ended      bool     `json:"ended"`
	Findings   []string `json:"findings,omitempty"` // the files of the corpus that it added
}

// ReadProgress reads the file that a run has left. Without one, nothing was done.
func ReadProgress(name string) (p Progress, err error) {
	if name == "" {
		return p, nil
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, fmt.Errorf("read how far it came: %w", err)
	}
	return p, nil
}

// Write replaces the file, so that one who reads finds the old or the new.
func (p Progress) Write(name string) error {
	if name == "" {
		return nil
	}
	text, err := json.Marshal(p)
	if err == nil {
		err = os.WriteFile(name+".new", text, 0o666)
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("write how far it came: %w", err)
	}
	return nil
}
