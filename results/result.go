package results

import "time"

// Version is the schema version that this package writes.
const Version = 1

// Result is one run of one workload against one system.
type Result struct {
	Schema        int               `json:"schema"`
	ID            string            `json:"id"`
	Suite         string            `json:"suite"`
	System        string            `json:"system"`
	Run           int               `json:"run"`
	Started       time.Time         `json:"started"`
	Labels        map[string]string `json:"labels,omitempty"` // what distinguishes this run within its suite
	Workload      map[string]any    `json:"workload"`
	Driver        Driver            `json:"driver"`
	Environment   Environment       `json:"env"`
	Phases        []Phase           `json:"phases"`
	Figures       []Measured        `json:"figures,omitempty"` // of the run as a whole, where a figure belongs to no phase
	Valid         bool              `json:"valid"`
	InvalidReason string            `json:"invalid_reason"`
	Profiles      []string          `json:"profiles,omitempty"`
	Objectives    []Objective       `json:"slo,omitempty"`
}

// Measured is one named figure in its base unit.
type Measured struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
}

// Base units of figures.
const (
	Seconds         = "s"
	SizeBytes       = "bytes"
	PerGigabyte     = "s/GB"
	MegabytesSecond = "MB/s"
	Pure            = "1" // a number without a unit
)

// Driver is what made the load, and what it was pointed at.
type Driver struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Target  string `json:"target"`
}

// Environment is the machine and the build, as far as they can change a figure.
type Environment struct {
	CPU        string            `json:"cpu"`
	Cores      int               `json:"cores"`
	Memory     int64             `json:"mem"`
	Kernel     string            `json:"kernel"`
	FileSystem string            `json:"fs"`
	Governor   string            `json:"governor,omitempty"`
	LoadBefore float64           `json:"load_before"`
	Go         string            `json:"go"`
	Git        string            `json:"git"`
	Dirty      bool              `json:"dirty"`
	Config     map[string]string `json:"config,omitempty"`
}

// Kinds of phases.
const (
	Produce  = "produce"
	Consume  = "consume"
	EndToEnd = "end-to-end"
)

// Modes of phases: an open model with a fixed schedule, or as fast as it goes.
const (
	Fixed = "rate"
	Max   = "max"
)

// Names of the latencies of a phase.
const (
	Response = "response" // acknowledged − intended: what a user waits
	Service  = "service"  // acknowledged − sent: what the broker takes
	SendLag  = "send_lag" // sent − intended
	OwnLag   = "own_lag"  // the part of it that is the load generator's fault
	Fetch    = "fetch"    // fetch answered − fetch sent
	E2E      = "e2e"      // consumed − intended
)

// Phase is one measured stretch of a run. Warm-up is not in any of its figures.
type Phase struct {
	Name          string             `json:"name"`
	Kind          string             `json:"kind"`
	Mode          string             `json:"mode"`
	IntendedRate  float64            `json:"intended_rate"`
	Seconds       float64            `json:"seconds"`
	WarmupSeconds float64            `json:"warmup_seconds"`
	Sent          int64              `json:"sent"`
	Acked         int64              `json:"acked"`
	Received      int64              `json:"received"`
	Errors        map[string]int64   `json:"errors"`
	Bytes         int64              `json:"bytes"`      // of record values: acked, or received when nothing was sent
	WireBytes     int64              `json:"wire_bytes"` // of encoded batches, the same ones
	Rate          float64            `json:"records_per_second"`
	Megabytes     float64            `json:"mb_per_second"` // decimal, record values
	CPU           CPU                `json:"cpu"`
	Memory        Memory             `json:"memory"`
	Latency       map[string]Latency `json:"latency_us"`
	Series        []Point            `json:"series"`
	Valid         bool               `json:"valid"`
	InvalidReason string             `json:"invalid_reason"`
	Notes         []string           `json:"notes,omitempty"`
}

// CPU is processor time of the measured stretch, user and system. A broker that we
// cannot see has nil figures.
type CPU struct {
	ClientSeconds     float64  `json:"client_seconds"`
	BrokerSeconds     *float64 `json:"broker_seconds"`
	ClientPerRecord   float64  `json:"client_ns_per_record"`
	BrokerPerRecord   *float64 `json:"broker_ns_per_record"`
	ClientPerGigabyte float64  `json:"client_seconds_per_gb"`
	BrokerPerGigabyte *float64 `json:"broker_seconds_per_gb"`
	LoopShare         float64  `json:"loop_share"`  // of the busiest load-generating thread's time, 0 to 1
	OtherCores        float64  `json:"other_cores"` // that neither client nor broker used, when both are known
}

// BusyCores is how much others may use before a phase is noted as disturbed. The kernel's
// own threads, which write what the broker wrote, are among the others.
const BusyCores = 0.25

// Memory is the peak resident size of the measured stretch.
type Memory struct {
	ClientPeak int64  `json:"client_peak_bytes"`
	BrokerPeak *int64 `json:"broker_peak_bytes"`
}

// Latency is one distribution, in microseconds. HDR is the whole histogram in
// HdrHistogram's compressed V2 encoding, in nanoseconds.
type Latency struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	P9999 float64 `json:"p9999"`
	Max   float64 `json:"max"`
	HDR   string  `json:"hdr"`
}

// Point is one second of a phase. Latencies are those of Phase.Primary, in microseconds.
type Point struct {
	T         float64 `json:"t"` // seconds since the phase began, warm-up included
	Warmup    bool    `json:"warmup,omitempty"`
	Rate      float64 `json:"rate"`
	Megabytes float64 `json:"mb"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	Max       float64 `json:"max"`
}

// Objective is one promise of the workload and whether it was kept.
type Objective struct {
	Expression string `json:"expr"`
	OK         bool   `json:"ok"`
	Detail     string `json:"detail,omitempty"`
}

// Primary is the name of the latency that a phase is about: end to end where records
// are followed to the consumer, response where there is a schedule to be late for,
// service where there is none.
func (p *Phase) Primary() string {
	switch {
	case p.Kind == EndToEnd:
		return E2E
	case p.Kind == Consume:
		return Fetch
	case p.Mode == Fixed:
		return Response
	default:
		return Service
	}
}

// Phase returns the phase of that name, or nil.
func (r *Result) Phase(name string) *Phase {
	for i := range r.Phases {
		if r.Phases[i].Name == name {
			return &r.Phases[i]
		}
	}
	return nil
}

// Figure returns the figure of that name.
func (r *Result) Figure(name string) (Measured, bool) {
	for _, m := range r.Figures {
		if m.Name == name {
			return m, true
		}
	}
	return Measured{}, false
}
