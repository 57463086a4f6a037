package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/engine/compat/transact"
	"github.com/millrace/millrace/engine/sim/history"
)

// transactions is the burden of transactions (package transact), judged by the history of all of them.
type transactions struct {
	*loop
	load *transact.Load
}

func (t *transactions) prepare(ctx context.Context) error { return t.load.Prepare(ctx) }

func (t *transactions) begin(ctx context.Context, _ int) error {
	t.load.Begin(ctx)
	return nil
}

func (t *transactions) deafen() { t.load.Deafen() }

// struck ends clients that were told lies: they would go on from there.
func (t *transactions) struck(_ time.Time, lied bool) error {
	if lied {
		t.load.Sever()
	}
	return nil
}

func (t *transactions) check(ctx context.Context, _ int) error {
	if err := t.load.Rest(ctx); err != nil {
		return err
	}
	found, err := t.load.Judge(ctx)
	return errors.Join(err, anomalies(found), t.refused(func(string) bool { return false }))
}

func (t *transactions) end() { t.load.Sever() }

// renew has nothing to do: each anomaly is told once.
func (t *transactions) renew() error { return nil }

func (t *transactions) finish(ctx context.Context) error {
	found, err := t.load.Finish(ctx)
	return errors.Join(err, anomalies(found))
}

func (t *transactions) round() string { return t.load.Counts().String() }

func (t *transactions) summary() string { return "transactions: " + t.load.Counts().String() }

// anomalies makes an error of broken promises.
func anomalies(found []history.Anomaly) error {
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("broken promises: %s", history.Summary(found))
}
