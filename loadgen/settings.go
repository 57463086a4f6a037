package loadgen

import (
	"time"

	"github.com/millrace/millrace/sdk/batch"
)

// Workload is what to do to a broker: a topic, and phases that run one after another.
type Workload struct {
	Name        string
	Topic       string
	Topics      int // beyond one they are named <topic>-0, <topic>-1, …
	Partitions  int32
	Replication int16
	Config      map[string]string // of the topics
	Phases      []Phase
	Objectives  []Objective
	source      map[string]any // as written, for the result
}

// Phase is one stretch with settings of its own.
type Phase struct {
	Name    string
	Do      string // results.Produce, results.Consume or results.EndToEnd
	Discard bool   // runs, and is not reported
	line    int
	Settings
}

// Settings are what a phase inherits from the workload unless it says otherwise. The
// field table in parse.go names each of them and says what is allowed.
type Settings struct {
	Value          Value
	Key            Key
	Producers      int
	Consumers      int
	Threads        int // loops that share the producers, and as many the consumers
	Acks           int16
	Idempotent     bool
	Codec          batch.Codec
	Batch          int    // bytes, uncompressed
	RequestBatches int    // batches of one request, each for another partition
	InFlight       int    // requests that a connection may have unanswered
	Encode         string // EncodePrepared or EncodeEach
	Arrival        string // ArriveBatch or ArriveRecord
	Spacing        string // SpaceUniform or SpacePoisson
	Linger         time.Duration
	Rate           float64 // records per second of all producers; zero: as fast as it goes
	Ramp           Ramp
	Warmup         time.Duration
	Duration       time.Duration
	Bytes          int64 // of record values, warm-up not counted, after which a phase ends early. Zero: no bound
	Warm           bool  // hold the machine's free memory from before the phase on; see Memory
	MinBytes       int
	MaxWait        time.Duration
	FetchBytes     int
	PartitionBytes int
	Session        bool
	Decode         string // DecodeHeaders, DecodeCRC or DecodeRecords
	Loop           bool   // a consumer that has read everything begins again
	Group          string // consumer group; kgo only
}

// Value is the shape of record values.
type Value struct {
	Size            int // bytes
	Min, Max        int // bytes, evenly spread, when Size is zero
	Compressibility float64
	Digits          int    // so many decimal digits are in the middle of each, as of a card number
	File            string // lines of a file, instead
}

// Key is the shape of record keys.
type Key struct {
	Kind  string // KeyNone, KeyUniform or KeyZipf
	Size  int    // bytes
	Count int    // distinct keys
	Skew  float64
}

// Ramp is a rate that rises or falls evenly to the rate of the phase.
type Ramp struct {
	From float64
	Over time.Duration
}

// Words that settings take.
const (
	EncodePrepared = "prepared" // batches are built once; times, sequence and CRC are new in each request
	EncodeEach     = "each"     // every record of every batch is encoded anew

	ArriveBatch  = "batch"  // all records of a batch arrive at the moment it is due
	ArriveRecord = "record" // records arrive one by one and wait for their batch

	SpaceUniform = "uniform"
	SpacePoisson = "poisson"

	KeyNone    = "none"
	KeyUniform = "uniform"
	KeyZipf    = "zipf"

	DecodeHeaders = "headers" // batch headers only
	DecodeCRC     = "crc"     // and the checksum of every batch
	DecodeRecords = "records" // and every record
)

// DefaultSettings is what a workload that says nothing gets.
func DefaultSettings() Settings {
	return Settings{
		Value:     Value{Size: 100, Compressibility: 0.5},
		Key:       Key{Kind: KeyNone},
		Producers: 1, Consumers: 1, Threads: 1,
		Acks: -1, Idempotent: true, Batch: 16 << 10, RequestBatches: 1, InFlight: 5,
		Encode: EncodePrepared, Arrival: ArriveBatch, Spacing: SpaceUniform,
		Duration: 10 * time.Second,
		MinBytes: 1, MaxWait: 500 * time.Millisecond, FetchBytes: 50 << 20, PartitionBytes: 1 << 20,
		Session: true, Decode: DecodeHeaders, Loop: true,
	}
}
