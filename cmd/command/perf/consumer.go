package perf

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/millrace/millrace/cmd/command/java"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ConsumerOptions describe a run of the consumer performance test.
type ConsumerOptions struct {
	// Topic is one topic; Include is a pattern that whole names must match.
	Topic, Include string
	Records        int64
	// Timeout ends the run when no record came for so long.
	Timeout time.Duration
	// Interval is how often Detailed prints a line.
	Interval     time.Duration
	Detailed     bool
	HideHeader   bool
	DateFormat   string // a pattern of Java's SimpleDateFormat
	PrintMetrics bool
}

const moreColumns = ", rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec"

// Consume reads records and prints how fast that went.
func Consume(ctx context.Context, so session.Options, o ConsumerOptions) error {
	if _, err := java.Date(o.DateFormat, time.Time{}); err != nil {
		return err
	}
	if !o.HideHeader {
		first := "start.time, end.time"
		if o.Detailed {
			first = "time, threadId"
		}
		fmt.Fprintln(so.Out, first+", data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec"+moreColumns)
	}
	var joined joining
	hooks := &counters{client: so.Properties["client.id"]}
	s, err := openConsumer(ctx, so, &o, &joined, hooks)
	if err != nil {
		return err
	}
	defer s.Close()
	start := time.Now()
	joined.begin(start)
	c := consuming{s: s, o: &o, joined: &joined}
	c.run(ctx, start)
	end := time.Now()
	if !o.Detailed {
		c.printTotal(s.Out, start, end)
	}
	if o.PrintMetrics {
		hooks.print(s.Out, "consumer", c.records)
	}
	return nil
}

func openConsumer(ctx context.Context, so session.Options, o *ConsumerOptions, joined *joining, hooks *counters) (*session.Session, error) {
	so.Role |= session.Consumer | session.Group
	so.Client = append(so.Client, kgo.WithHooks(hooks),
		kgo.Balancers(kgo.RangeBalancer(), kgo.CooperativeStickyBalancer()), // Kafka's defaults
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			joined.change(count(parts), time.Now())
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			joined.change(-count(parts), time.Now())
		}),
	)
	if o.Topic != "" {
		so.Client = append(so.Client, kgo.ConsumeTopics(o.Topic), kgo.AllowAutoTopicCreation())
	} else {
		so.Client = append(so.Client, kgo.ConsumeRegex(), kgo.ConsumeTopics("^(?:"+o.Include+")$"))
	}
	return session.Open(ctx, so)
}

func count(parts map[string][]int32) int {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	return n
}

// joining sums up the time during which the consumer had no partition because its
// group was rebalancing. The client calls back on goroutines of its own.
type joining struct {
	mu           sync.Mutex //nolint:forbidigo // two goroutines meet here a few times a run
	assigned     int
	since        time.Time
	total, round time.Duration
}

func (j *joining) begin(now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.since = now
}

// change adds partitions, or takes them away.
func (j *joining) change(n int, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n > 0 && j.assigned == 0 && !j.since.IsZero() {
		waited := now.Sub(j.since)
		j.total += waited
		j.round += waited
	}
	j.assigned += n
	if n < 0 && j.assigned == 0 {
		j.since = now
	}
}

// sums are the time of all rounds and of those since the last line.
func (j *joining) sums(nextRound bool) (total, round time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	total, round = j.total, j.round
	if nextRound {
		j.round = 0
	}
	return total, round
}

// consuming is one run of Consume.
type consuming struct {
	s              *session.Session
	o              *ConsumerOptions
	joined         *joining
	records, bytes int64
}

func (c *consuming) run(ctx context.Context, start time.Time) {
	now, lastRecord, lastReport := start, start, start
	var reportedRecords, reportedBytes int64
	for c.records < c.o.Records && now.Sub(lastRecord) <= c.o.Timeout && ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		fetches := c.s.Client.PollFetches(wait)
		cancel()
		now = time.Now()
		if fetches.NumRecords() > 0 {
			lastRecord = now
		}
		fetches.EachRecord(func(r *kgo.Record) {
			c.records++
			c.bytes += int64(len(r.Key) + len(r.Value))
		})
		if now.Sub(lastReport) < c.o.Interval || fetches.NumRecords() == 0 {
			continue
		}
		_, round := c.joined.sums(true)
		if c.o.Detailed {
			c.printProgress(c.records-reportedRecords, c.bytes-reportedBytes, lastReport, now, round)
		}
		lastReport, reportedRecords, reportedBytes = now, c.records, c.bytes
	}
	if c.records < c.o.Records {
		fmt.Fprintf(c.s.Out, "WARNING: Exiting before consuming the expected number of records: timeout (%d ms) exceeded. "+
			"You can use the --timeout option to increase the timeout.\n", c.o.Timeout.Milliseconds())
	}
}

func (c *consuming) printProgress(records, bytes int64, from, to time.Time, joining time.Duration) {
	date, _ := java.Date(c.o.DateFormat, to) // Consume has tried the pattern
	elapsed := millis(to.Sub(from))
	megabytes := float64(bytes) / (1 << 20)
	fmt.Fprintf(c.s.Out, "%s, 0, %.4f, %.4f, %d, %.4f", date, float64(c.bytes)/(1<<20), 1000*megabytes/elapsed, c.records, float64(records)/elapsed*1000)
	fetching := to.Sub(from).Milliseconds() - joining.Milliseconds()
	var megabytesRate, recordsRate float64
	if fetching > 0 {
		megabytesRate, recordsRate = 1000*megabytes/float64(fetching), 1000*float64(records)/float64(fetching)
	}
	fmt.Fprintf(c.s.Out, ", %d, %d, %.4f, %.4f\n", joining.Milliseconds(), fetching, megabytesRate, recordsRate)
}

func (c *consuming) printTotal(w io.Writer, start, end time.Time) {
	from, _ := java.Date(c.o.DateFormat, start) // Consume has tried the pattern
	to, _ := java.Date(c.o.DateFormat, end)
	joining, _ := c.joined.sums(false)
	fetching := end.Sub(start).Milliseconds() - joining.Milliseconds()
	seconds, fetchSeconds := millis(end.Sub(start))/1000, millis(end.Sub(start)-joining)/1000
	megabytes := float64(c.bytes) / (1 << 20)
	fmt.Fprintf(w, "%s, %s, %.4f, %.4f, %d, %.4f, %d, %d, %.4f, %.4f\n", from, to, megabytes, megabytes/seconds, c.records,
		float64(c.records)/seconds, joining.Milliseconds(), fetching, megabytes/fetchSeconds, float64(c.records)/fetchSeconds)
}
