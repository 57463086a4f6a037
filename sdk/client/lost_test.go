package client_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/client"
)

// What was lost and nobody waits for is counted, also when interceptors look on and in transactions.
func TestLostIsCounted(t *testing.T) {
	address := kitBroker(t, map[string]string{"message.max.bytes": "1000"})
	large := &client.ProducerRecord[string, string]{Topic: "t", Partition: new(int32(0)), Value: strings.Repeat("x", 5000)}
	small := &client.ProducerRecord[string, string]{Topic: "t", Partition: new(int32(0)), Value: "small"}
	for name, o := range map[string]client.ProducerOptions[string, string]{
		"alone":                  {},
		"with an interceptor":    {Interceptors: []sdk.ProducerInterceptor{&upper{}}},
		"with one of batches":    {BatchInterceptors: []sdk.Interceptor{newObeys()}},
		"with interceptors both": {Interceptors: []sdk.ProducerInterceptor{&upper{}}, BatchInterceptors: []sdk.Interceptor{newObeys()}},
	} {
		for _, engine := range []string{client.EngineNative, client.EngineKgo} {
			if engine == client.EngineKgo && o.BatchInterceptors != nil {
				continue
			}
			t.Run(name+" "+engine, func(t *testing.T) {
				o.Log = slog.New(slog.DiscardHandler)
				p := valuesProducer(t, client.Config{"bootstrap.servers": address, "client.engine": engine, "linger.ms": "0"}, o)
				if err := errors.Join(p.Fire(t.Context(), small), p.Flush(t.Context())); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					if err := p.Fire(t.Context(), large); err != nil {
						t.Fatal(err)
					}
				}
				p.SendFunc(t.Context(), large, nil)
				if _, err := p.Send(t.Context(), large).Get(t.Context()); err == nil {
					t.Error("too large, and stored")
				}
				if err := p.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if n := p.Lost(); n != 3 {
					t.Errorf("%d were lost that nobody waits for, want 3", n)
				}
			})
		}
	}
	t.Run("in a transaction", func(t *testing.T) {
		p := valuesProducer(t, client.Config{"bootstrap.servers": address, "transactional.id": "lost"}, client.ProducerOptions[string, string]{})
		if err := errors.Join(p.InitTransactions(t.Context()), p.BeginTransaction(), p.Fire(t.Context(), large)); err != nil {
			t.Fatal(err)
		}
		if err := p.CommitTransaction(t.Context()); !errors.Is(err, client.ErrAbort) {
			t.Errorf("committed without a record: %v", err)
		}
		if n := p.Lost(); n != 1 {
			t.Errorf("%d were lost, want 1", n)
		}
		if err := p.AbortTransaction(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
