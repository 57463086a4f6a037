package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"

	"github.com/millrace/millrace/results"
)

// measurement takes what the system knows about both processes at the two ends of the
// measured part of a phase.
type measurement struct {
	job *job
	pid int // of the broker, or zero

	profiler  *profiler
	profiling chan error // gets one value when the profiles are taken; nil: none are

	begun          bool
	client, broker [2]Usage
	machine        [2]time.Duration
	at             [2]time.Time
	notes          []string
	err            error
}

// begin waits for the end of the warm-up, unless the phase is over before, takes the
// first sample and lets the profiles begin.
func (m *measurement) begin(ctx, over context.Context) {
	timer := time.NewTimer(time.Until(m.job.clock.at(m.job.measured)))
	defer timer.Stop()
	select {
	case <-over.Done():
		return
	case <-timer.C:
	}
	for _, pid := range m.pids() {
		if err := ResetPeak(pid); err != nil {
			m.notes = append(m.notes, "the memory peak is that of the whole life of the process: "+err.Error())
		}
	}
	m.sample(0)
	m.begun = true
	if m.profiler != nil && len(m.profiler.Kinds) > 0 {
		m.profiling = make(chan error, 1)
		go func() { m.profiling <- m.profiler.take(ctx) }()
	}
}

// profiled waits for the profiles. A profile that was taken says so in the notes.
func (m *measurement) profiled() error {
	if m.profiling == nil {
		return nil
	}
	err := <-m.profiling
	m.notes = append(m.notes, m.profiler.notes...)
	return err
}

func (m *measurement) pids() []int {
	if m.pid == 0 {
		return []int{os.Getpid()}
	}
	return []int{os.Getpid(), m.pid}
}

// end takes the second sample. The first is over by then, or never came.
func (m *measurement) end() { m.sample(1) }

func (m *measurement) sample(at int) {
	var err error
	m.at[at] = time.Now()
	if m.machine[at], err = machineTime(); err != nil {
		m.err = errors.Join(m.err, err)
	}
	if m.client[at], err = ReadUsage(os.Getpid()); err != nil {
		m.err = errors.Join(m.err, err)
	}
	if m.pid == 0 {
		return
	}
	if m.broker[at], err = ReadUsage(m.pid); err != nil {
		m.err = errors.Join(m.err, err)
	}
}

// phase puts together what was measured. Call it when collector and driver are through.
func (m *measurement) phase(c *collector, share float64) (*results.Phase, error) {
	j := m.job
	p := &results.Phase{
		Name: j.Name, Kind: j.Do, Mode: j.mode(), WarmupSeconds: j.Warmup.Seconds(), Valid: true, Notes: m.notes,
		Acked: c.total.acked, Received: c.total.received, Sent: c.total.acked + c.total.failed, Errors: map[string]int64{},
		Series: c.series, Latency: map[string]results.Latency{},
	}
	if m.err != nil {
		return nil, m.err
	}
	if j.mode() == results.Fixed {
		p.IntendedRate = j.Rate
	}
	for _, r := range c.recorders {
		for code, records := range r.errors {
			p.Errors[errorName(code)] += records
		}
	}
	m.rates(p, c)
	if m.begun {
		m.costs(p, share)
	}
	for k, h := range c.latency {
		if h == nil || h.TotalCount() == 0 {
			continue
		}
		var err error
		if p.Latency[kindNames[k]], err = results.Summarize(h); err != nil {
			return nil, err
		}
	}
	m.judge(p)
	return p, nil
}

// rates counts from the end of the warm-up to the last answer, and with a schedule at
// least to its end.
func (m *measurement) rates(p *results.Phase, c *collector) {
	last := int64(0)
	for _, r := range c.recorders {
		last = max(last, r.lastAck)
	}
	if p.Mode == results.Fixed {
		last = max(last, m.job.stop)
	}
	p.Seconds = max(0, float64(last-m.job.measured)/float64(second))
	records := p.Acked
	p.Bytes, p.WireBytes = c.total.bytes, c.total.wireBytes
	if p.Kind == results.Consume {
		records = p.Received
		p.Bytes, p.WireBytes = c.total.readBytes, c.total.readIO
	}
	if p.Seconds > 0 {
		p.Rate = float64(records) / p.Seconds
		p.Megabytes = float64(p.Bytes) / 1e6 / p.Seconds
	}
}

func (m *measurement) costs(p *results.Phase, share float64) {
	records := float64(max(p.Acked, p.Received))
	gigabytes := float64(p.Bytes) / 1e9
	per := func(total, units float64) float64 {
		if units == 0 {
			return 0
		}
		return total / units
	}
	client := (m.client[1].CPU - m.client[0].CPU).Seconds()
	if share == shareOfAll {
		share = per(client, p.Seconds*float64(runtime.NumCPU()))
	}
	p.CPU = results.CPU{ClientSeconds: client, ClientPerRecord: per(client*1e9, records), ClientPerGigabyte: per(client, gigabytes), LoopShare: share}
	p.Memory.ClientPeak = m.client[1].Peak
	if m.pid == 0 {
		return
	}
	broker := (m.broker[1].CPU - m.broker[0].CPU).Seconds()
	perRecord, perGigabyte, peak := per(broker*1e9, records), per(broker, gigabytes), m.broker[1].Peak
	others := (m.machine[1] - m.machine[0]).Seconds() - client - broker
	if length := m.at[1].Sub(m.at[0]).Seconds(); length > 0 {
		p.CPU.OtherCores = max(0, others/length)
	}
	p.CPU.BrokerSeconds, p.CPU.BrokerPerRecord, p.CPU.BrokerPerGigabyte = &broker, &perRecord, &perGigabyte
	p.Memory.BrokerPeak = &peak
}

// judge marks the phase INVALID when its figures would say more about the load generator
// or about errors than about the broker.
func (m *measurement) judge(p *results.Phase) {
	invalid := func(format string, args ...any) {
		if p.Valid {
			p.Valid, p.InvalidReason = false, fmt.Sprintf(format, args...)
		}
	}
	busy := math.Round(p.CPU.LoopShare * 100)
	lag := time.Duration(p.Latency[results.OwnLag].P99 * 1e3).Round(time.Microsecond)
	failed := int64(0)
	for _, n := range p.Errors {
		failed += n
	}
	switch {
	case !m.begun || p.Acked+p.Received == 0:
		invalid("nothing was measured: the phase was over before its warm-up, or no record came through")
	case failed > 0:
		invalid("%d records or requests failed: %v", failed, p.Errors)
	case p.Mode == results.Fixed && lag > maxOwnLag:
		invalid("the load generator was late: %v at the 99th percentile, allowed is %v", lag, maxOwnLag)
	case p.Mode == results.Fixed && p.CPU.LoopShare > maxLoopShare:
		invalid("the load generator was busy %.0f %% of the time, allowed is %.0f %%", busy, maxLoopShare*100)
	}
	if p.CPU.OtherCores > results.BusyCores {
		p.Notes = append(p.Notes, fmt.Sprintf("others used %.1f cores meanwhile", p.CPU.OtherCores))
	}
	if p.Mode == results.Max && p.CPU.LoopShare > maxLoopShare {
		p.Notes = append(p.Notes, fmt.Sprintf("the load generator was busy %.0f %% of the time: this may be its limit and not the broker's", busy))
	}
	if p.Mode == results.Fixed && m.job.Ramp.Over == 0 && p.Rate < p.IntendedRate*(1-chance(p.IntendedRate*p.Seconds)) {
		p.Notes = append(p.Notes, fmt.Sprintf("the broker fell behind: %s of %s records/s", results.Figure(p.Rate), results.Figure(p.IntendedRate)))
	}
}

// chance is by what part the number of random arrivals may fall short of what is expected.
func chance(expected float64) float64 { return max(0.02, 4/math.Sqrt(max(expected, 1))) }
