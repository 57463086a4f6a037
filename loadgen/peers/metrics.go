package peers

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/millrace/millrace/loadgen/metrics"
)

// opening is how long an admin address may refuse: a broker opens it after it serves clients.
const opening = 10 * time.Second

// Metrics are those that a Millrace tells at its admin address, as they are now, by name.
func Metrics(ctx context.Context, admin string) (all map[string]*dto.MetricFamily, err error) {
	ctx, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		if all, err = metrics.Of(ctx, admin); err == nil {
			return all, nil
		}
		if err = fmt.Errorf("read the broker's metrics: %w", err); !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}
