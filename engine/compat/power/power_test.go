package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
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
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	binary, err := broker.Build(ctx, filepath.Join("..", "..", ".."), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := options{seed: 1, rounds: 5, least: 200 * time.Millisecond, most: 300 * time.Millisecond, binary: binary,
		work: t.TempDir(), disk: 512, expectLoss: true}
	o.settings = "log.flush.mode=os"
	if err := run(ctx, o); err != nil {
		t.Errorf("log.flush.mode=os: %v, want a loss to be found", err)
	}
	o.settings, o.rounds = "", 2
	if err := run(ctx, o); !errors.Is(err, errUnseen) {
		t.Errorf("log.flush.mode=commit: %v, want no loss to be found", err)
	}
}
