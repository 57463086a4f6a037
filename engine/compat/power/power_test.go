package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/disk"
)

func TestMain(m *testing.M) {
	disk.Isolate()
	os.Exit(m.Run())
}

// A broker that acknowledges what it did not sync must be found out, and one that syncs must not be accused.
func TestFindsTheBrokerThatDoesNotSync(t *testing.T) {
	if err := disk.Needs(); err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	binary, err := broker.Build(ctx, filepath.Join("..", "..", ".."), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := options{seed: 1, rounds: 5, least: 200 * time.Millisecond, most: 300 * time.Millisecond, binary: binary,
		work: t.TempDir(), disk: 512, expectLoss: true}
	for _, o.transactions = range []bool{false, true} {
		o.settings, o.rounds = "log.flush.mode=os", 5
		if err := run(ctx, o); err != nil {
			t.Errorf("log.flush.mode=os, transactions %v: %v, want a loss to be found", o.transactions, err)
		}
		o.settings, o.rounds = "", 2
		if err := run(ctx, o); !errors.Is(err, errUnseen) {
			t.Errorf("log.flush.mode=commit, transactions %v: %v, want no loss to be found", o.transactions, err)
		}
	}
}

// The bound is that of the interval, with the time of a sync, and only in its mode.
func TestWithin(t *testing.T) {
	for settings, want := range map[string]time.Duration{
		"log.flush.mode=interval":                           time.Second + syncTime,
		"log.flush.interval.ms=100,log.flush.mode=interval": 100*time.Millisecond + syncTime,
		"log.flush.mode=os":                                 0,
		"log.flush.interval.ms=100":                         0,
	} {
		if got, err := within(strings.Split(settings, ",")); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", settings, got, err, want)
		}
	}
	if _, err := within([]string{"log.flush.mode=interval", "log.flush.interval.ms=x"}); err == nil {
		t.Error("x is no number of milliseconds")
	}
}
