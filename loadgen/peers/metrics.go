package peers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
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
		if all, err = scrape(ctx, admin); err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
			return all, err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

func scrape(ctx context.Context, admin string) (map[string]*dto.MetricFamily, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("read the broker's metrics: %w", err)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, fmt.Errorf("read the broker's metrics: %w", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(a.Body)
	if err := errors.Join(err, a.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the broker's metrics: %w", err)
	}
	return all, nil
}
