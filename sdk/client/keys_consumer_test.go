package client

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/fuzz"
)

func TestDurationsOfISO8601(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"PT1H": time.Hour, "P1D": 24 * time.Hour, "P1DT2H3M4.5S": 26*time.Hour + 3*time.Minute + 4500*time.Millisecond, "pt0.001s": time.Millisecond, "PT90M": 90 * time.Minute,
	} {
		if got, err := parseISODuration(text); err != nil || got != want {
			t.Errorf("%s is %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "P", "PT", "1H", "P1H", "PT1D", "P1M", "PT1.5H", "PT-1S", "PTNaNS", "PT1e3S", "PTInfS", "PT1S1H", "P1DT", "PT1H1H", "PT999999999999999H", "PT1H 2M", "PT.S"} {
		if got, err := parseISODuration(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func FuzzISODuration(f *testing.F) {
	f.Add("P1DT2H3M4.5S")
	fuzz.Run(f, func(t *testing.T, text string) {
		if d, err := parseISODuration(text); err == nil && d < 0 {
			t.Errorf("%q is read as %v", text, d)
		}
	})
}

func TestMailIsInOrder(t *testing.T) {
	m := newMailbox()
	var got []int
	for i := range 5 {
		m.put(func() { got = append(got, i) })
	}
	if m.empty() {
		t.Error("there is no mail")
	}
	m.put(func() { m.put(func() { got = append(got, 99) }) }) // for the next time
	m.run()
	if fmt.Sprint(got) != "[0 1 2 3 4]" || m.empty() {
		t.Errorf("done was %v", got)
	}
	m.run()
	if len(got) != 6 || !m.empty() {
		t.Errorf("done was %v", got)
	}
}

func TestATurnIsLentAndGivenBack(t *testing.T) {
	var u turn
	leave, err := u.enter()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.enter(); !errors.Is(err, ErrConcurrentUse) {
		t.Errorf("two have the turn: %v", err)
	}
	if err := u.lend(func() error {
		inner, err := u.enter()
		if err != nil || !u.listening() {
			t.Errorf("a listener may not: %v", err)
		}
		if _, err := u.enter(); !errors.Is(err, ErrConcurrentUse) {
			t.Errorf("two listeners have the turn: %v", err)
		}
		inner()
		return nil
	}); err != nil || u.listening() {
		t.Error("it was not given back")
	}
	leave()
	if leave, err = u.enter(); err != nil {
		t.Error(err)
	}
	leave()
}
