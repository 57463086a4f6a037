package metrics

// Sources are whom to ask at a scrape for what they know anyhow. A nil function is not
// asked, and its metric not shown. Each may be called from any goroutine and must not
// block for long.
type Sources struct {
	// BrokerState is 3 while the broker runs, 6 while it stops (Kafka's numbers).
	BrokerState func() int64

	// Replicas on this broker.
	Partitions, Leaders, UnderReplicated, UnderMinISR, AtMinISR, OfflineReplicas func() int64

	// Controller. ActiveController is 1 on the one that leads, 0 elsewhere.
	ActiveController, OfflinePartitions, Topics, GlobalPartitions, ActiveBrokers, FencedBrokers func() int64

	// Groups whose coordinator this broker is.
	Groups func() Groups

	// Transactions whose coordinator this broker is, and the producers of its partitions.
	Transactions func() Transactions

	// Sessions and SessionPartitions are the incremental fetch sessions and what they hold.
	Sessions, SessionPartitions func() int64

	// Waiting tells how many requests wait, by operation ("Produce", "Fetch", "Rebalance", …).
	Waiting func(yield func(operation string, requests int64))

	// Listeners tells of the connections of each listener and event loop.
	Listeners func(yield func(Connections))

	// LoopsIdle and ShardsIdle are the share of time, 0 to 1, that they had nothing to do.
	LoopsIdle, ShardsIdle func() float64

	// RequestQueue and ResponseQueue are requests that wait for a shard, and answers for a loop.
	RequestQueue, ResponseQueue func() int64

	// FramesInFlight and FrameBytes are requests received and not yet released, FrameBudget
	// the bytes at which reading pauses.
	FramesInFlight, FrameBytes, FrameBudget func() int64

	// Unpacked is bytes that records take which are held decompressed, Unpacking the requests
	// that wait to be decompressed.
	Unpacked, Unpacking func() int64

	// CacheWritten and CacheDropped are bytes of the logs that were written behind, and
	// dropped from the page cache, since the start.
	CacheWritten, CacheDropped func() int64

	// ColdBuffers is the memory for what is read past the page cache.
	ColdBuffers func() int64

	// OfflineDirs is the data folders whose disk was stopped.
	OfflineDirs func() int64
	// Stopped tells of each of them why.
	Stopped func(yield func(folder string, reason error))

	// Profiles are the profiles of itself that the broker keeps, ProfileBytes what they take.
	Profiles, ProfileBytes func() int64

	// Journals tells of the journal of each data folder.
	Journals func(yield func(dir string, j Journal))

	// Cleaning is what compaction has done.
	Cleaning func() Cleaning

	// Logs tells of each partition's log that is open.
	Logs func(yield func(topic string, partition int32, log Log))
}

// Cleaning is what compaction has done, and what it last did.
type Cleaning struct {
	Uncleanable                                              int64 // logs that cannot be read
	BytesRead, BytesWritten                                  int64
	RecopyPercent, CleanSeconds, BufferPercent, DirtyPercent int64
	SinceLastRun                                             int64 // milliseconds
}

// cleaningGauges are the numbers of compaction.
var cleaningGauges = []struct {
	name, help string
	of         func(Cleaning) int64
}{
	{"kafka_log_logcleaner_cleaner_recopy_percent", "Bytes that the last compaction wrote, of those that it read.", func(c Cleaning) int64 { return c.RecopyPercent }},
	{"kafka_log_logcleaner_max_buffer_utilization_percent", "How full the map of keys became.", func(c Cleaning) int64 { return c.BufferPercent }},
	{"kafka_log_logcleaner_max_clean_time_secs", "Time that the last compaction took.", func(c Cleaning) int64 { return c.CleanSeconds }},
	{"kafka_log_logcleanermanager_max_dirty_percent", "Share of the dirtiest log that was not compacted.", func(c Cleaning) int64 { return c.DirtyPercent }},
	{"kafka_log_logcleanermanager_time_since_last_run_ms", "Time since somebody looked for a log to compact.", func(c Cleaning) int64 { return c.SinceLastRun }},
	{"kafka_log_logcleanermanager_uncleanable_partitions_count", "Logs that cannot be compacted, because they are damaged.", func(c Cleaning) int64 { return c.Uncleanable }},
	{"millrace_cleaner_read_bytes", "Bytes that compaction has read since the start.", func(c Cleaning) int64 { return c.BytesRead }},
	{"millrace_cleaner_written_bytes", "Bytes that compaction has written since the start.", func(c Cleaning) int64 { return c.BytesWritten }},
}

// Groups counts groups by state.
type Groups struct {
	Stable, PreparingRebalance, CompletingRebalance, Empty, Dead int64
	Assigning, Reconciling                                       int64 // of consumer groups
	Offsets                                                      int64
}

// Transactions is how transactions and idempotent producers are, and what has happened to them since the start.
type Transactions struct {
	IDs, Open, Ending  int64   // transactional ids, open transactions, and those that are decided and owe markers
	OldestSeconds      float64 // how long the oldest open one lasts; 0: there is none
	Committed, Aborted uint64
	TimedOut, Fenced   uint64 // of the aborted
	IDsExpired         uint64
	Producers          int64 // known, each in each of its partitions
	ProducersExpired   uint64
	Late               int64 // partitions with a transaction that nobody seems to end
}

// transactionMetrics are the numbers of transactions.
var transactionMetrics = []struct {
	name, help string
	counter    bool
	of         func(Transactions) float64
}{
	{"kafka_server_replicamanager_partitionswithlatetransactionscount", "Partitions with a transaction that nobody seems to end: nothing was heard of it for transaction.max.timeout.ms and five minutes.", false, func(t Transactions) float64 { return float64(t.Late) }},
	{"kafka_server_replicamanager_produceridcount", "Idempotent producers that are known, each counted in each partition.", false, func(t Transactions) float64 { return float64(t.Producers) }},
	{"millrace_producers_expired_total", "Idempotent producers that were forgotten (producer.id.expiration.ms).", true, func(t Transactions) float64 { return float64(t.ProducersExpired) }},
	{"millrace_transactional_ids", "Transactional ids that are known.", false, func(t Transactions) float64 { return float64(t.IDs) }},
	{"millrace_transactional_ids_expired_total", "Transactional ids that were forgotten (transactional.id.expiration.ms).", true, func(t Transactions) float64 { return float64(t.IDsExpired) }},
	{"millrace_transactions_aborted_total", "Transactions that were aborted, for whatever reason.", true, func(t Transactions) float64 { return float64(t.Aborted) }},
	{"millrace_transactions_committed_total", "Transactions that were committed.", true, func(t Transactions) float64 { return float64(t.Committed) }},
	{"millrace_transactions_ending", "Transactions that are decided, and whose markers are being written.", false, func(t Transactions) float64 { return float64(t.Ending) }},
	{"millrace_transactions_fenced_total", "Transactions that were aborted because another producer took their id over.", true, func(t Transactions) float64 { return float64(t.Fenced) }},
	{"millrace_transactions_oldest_open_seconds", "How long the oldest open transaction lasts.", false, func(t Transactions) float64 { return t.OldestSeconds }},
	{"millrace_transactions_open", "Transactions that are open.", false, func(t Transactions) float64 { return float64(t.Open) }},
	{"millrace_transactions_timed_out_total", "Transactions that were aborted because their time was over (transaction.timeout.ms).", true, func(t Transactions) float64 { return float64(t.TimedOut) }},
}

// Connections is what one event loop knows of one listener.
type Connections struct {
	Listener                 string
	Loop                     int
	Open                     int64
	Created, Closed, Expired uint64
	BytesIn, BytesOut        uint64
	Refused                  uint64 // over a limit
}

// Journal is what the journal of one data folder has done.
type Journal struct {
	Rounds, Entries, Bytes                 uint64
	FileSyncs, FileBytes                   uint64
	Checkpoints, Recycled, Replayed, Owing uint64
	LastRoundSeconds, LastFileSyncSeconds  float64
}

// Log is the state of one partition's log.
type Log struct {
	Bytes, Start, End, Segments int64
}

// gauge is one number asked of a source.
type gauge struct {
	name, help string
	of         func(*Sources) func() int64
}

var gauges = []gauge{
	{"kafka_server_kafkaserver_brokerstate", "3: running, 6: stopping.", func(s *Sources) func() int64 { return s.BrokerState }},
	{"kafka_server_replicamanager_partitioncount", "Partitions on this broker.", func(s *Sources) func() int64 { return s.Partitions }},
	{"kafka_server_replicamanager_leadercount", "Partitions that this broker leads.", func(s *Sources) func() int64 { return s.Leaders }},
	{"kafka_server_replicamanager_underreplicatedpartitions", "Partitions led here that lack a copy in sync.", func(s *Sources) func() int64 { return s.UnderReplicated }},
	{"kafka_server_replicamanager_underminisrpartitioncount", "Partitions led here with fewer copies in sync than min.insync.replicas.", func(s *Sources) func() int64 { return s.UnderMinISR }},
	{"kafka_server_replicamanager_atminisrpartitioncount", "Partitions led here with as many copies in sync as min.insync.replicas.", func(s *Sources) func() int64 { return s.AtMinISR }},
	{"kafka_server_replicamanager_offlinereplicacount", "Copies on disks that were stopped.", func(s *Sources) func() int64 { return s.OfflineReplicas }},
	{"kafka_controller_kafkacontroller_activecontrollercount", "1 on the controller that leads.", func(s *Sources) func() int64 { return s.ActiveController }},
	{"kafka_controller_kafkacontroller_offlinepartitionscount", "Partitions without a leader.", func(s *Sources) func() int64 { return s.OfflinePartitions }},
	{"kafka_controller_kafkacontroller_globaltopiccount", "Topics of the cluster.", func(s *Sources) func() int64 { return s.Topics }},
	{"kafka_controller_kafkacontroller_globalpartitioncount", "Partitions of the cluster.", func(s *Sources) func() int64 { return s.GlobalPartitions }},
	{"kafka_controller_kafkacontroller_activebrokercount", "Brokers that are alive.", func(s *Sources) func() int64 { return s.ActiveBrokers }},
	{"kafka_controller_kafkacontroller_fencedbrokercount", "Brokers that are not.", func(s *Sources) func() int64 { return s.FencedBrokers }},
	{"kafka_server_fetchsessioncache_numincrementalfetchsessions", "Incremental fetch sessions.", func(s *Sources) func() int64 { return s.Sessions }},
	{"kafka_server_fetchsessioncache_numincrementalfetchpartitionscached", "Partitions in incremental fetch sessions.", func(s *Sources) func() int64 { return s.SessionPartitions }},
	{"kafka_network_requestchannel_requestqueuesize", "Requests that wait to be worked on.", func(s *Sources) func() int64 { return s.RequestQueue }},
	{"kafka_network_requestchannel_responsequeuesize", "Answers that wait for their connection.", func(s *Sources) func() int64 { return s.ResponseQueue }},
	{"kafka_log_logmanager_offlinelogdirectorycount", "Data folders whose disk was stopped.", func(s *Sources) func() int64 { return s.OfflineDirs }},
	{"millrace_frames_in_flight", "Requests received and not yet released.", func(s *Sources) func() int64 { return s.FramesInFlight }},
	{"millrace_decompressed_bytes", "Bytes held of records that were decompressed or compressed anew (decompression.buffer.bytes).", func(s *Sources) func() int64 { return s.Unpacked }},
	{"millrace_decompressions_waiting", "Requests whose records wait to be decompressed.", func(s *Sources) func() int64 { return s.Unpacking }},
	{"millrace_page_cache_written_bytes", "Bytes of the logs that were given to the disk before a sync asked for it, since the start.", func(s *Sources) func() int64 { return s.CacheWritten }},
	{"millrace_page_cache_dropped_bytes", "Bytes of the logs that were dropped from the page cache (log.page.cache.bytes), since the start.", func(s *Sources) func() int64 { return s.CacheDropped }},
	{"millrace_cold_buffer_bytes", "Memory for what is read past the page cache (log.cold.buffer.bytes).", func(s *Sources) func() int64 { return s.ColdBuffers }},
	{"millrace_profiles_kept", "Profiles of itself that the broker keeps (profile.keep.files).", func(s *Sources) func() int64 { return s.Profiles }},
	{"millrace_profiles_bytes", "Bytes that they take.", func(s *Sources) func() int64 { return s.ProfileBytes }},
	{"millrace_frame_bytes_in_flight", "Their bytes.", func(s *Sources) func() int64 { return s.FrameBytes }},
	{"millrace_frame_budget_bytes", "Bytes in flight at which reading pauses (queued.max.request.bytes).", func(s *Sources) func() int64 { return s.FrameBudget }},
}

// groupGauges are the counts of groups.
var groupGauges = []struct {
	name, help string
	of         func(Groups) int64
}{
	{"numgroups", "Groups.", func(g Groups) int64 {
		return g.Stable + g.PreparingRebalance + g.CompletingRebalance + g.Empty + g.Dead + g.Assigning + g.Reconciling
	}},
	{"numgroupsstable", "Groups whose members all have their assignment.", func(g Groups) int64 { return g.Stable }},
	{"numgroupspreparingrebalance", "Groups that wait for members to join.", func(g Groups) int64 { return g.PreparingRebalance }},
	{"numgroupscompletingrebalance", "Groups that wait for their leader's assignment.", func(g Groups) int64 { return g.CompletingRebalance }},
	{"numgroupsassigning", "Consumer groups whose target assignment is still to be decided.", func(g Groups) int64 { return g.Assigning }},
	{"numgroupsreconciling", "Consumer groups whose members are on their way to their targets.", func(g Groups) int64 { return g.Reconciling }},
	{"numgroupsempty", "Groups without members.", func(g Groups) int64 { return g.Empty }},
	{"numgroupsdead", "Groups that are going away.", func(g Groups) int64 { return g.Dead }},
	{"numoffsets", "Offsets kept.", func(g Groups) int64 { return g.Offsets }},
}

// idleGauges are the shares of idle time, each under both names that rules of the JMX
// exporter in use give it.
var idleGauges = []struct {
	names []string
	help  string
	of    func(*Sources) func() float64
}{
	{[]string{"kafka_network_socketserver_networkprocessoravgidle_percent", "kafka_network_socketserver_networkprocessoravgidlepercent"},
		"Share of time, 0 to 1, that event loops have nothing to do.", func(s *Sources) func() float64 { return s.LoopsIdle }},
	{[]string{"kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent", "kafka_server_kafkarequesthandlerpool_requesthandleravgidlepercent"},
		"Share of time, 0 to 1, that shards have nothing to do.", func(s *Sources) func() float64 { return s.ShardsIdle }},
}

// connectionMetrics are the numbers of each listener and event loop.
var connectionMetrics = []struct {
	name, help string
	counter    bool
	of         func(Connections) float64
}{
	{"connection_count", "Open connections.", false, func(c Connections) float64 { return float64(c.Open) }},
	{"connection_creation_total", "Connections accepted.", true, func(c Connections) float64 { return float64(c.Created) }},
	{"connection_close_total", "Connections closed.", true, func(c Connections) float64 { return float64(c.Closed) }},
	{"expired_connections_killed_count", "Connections closed because they were idle.", true, func(c Connections) float64 { return float64(c.Expired) }},
	{"incoming_byte_total", "Bytes received.", true, func(c Connections) float64 { return float64(c.BytesIn) }},
	{"outgoing_byte_total", "Bytes sent.", true, func(c Connections) float64 { return float64(c.BytesOut) }},
	{"connection_refused_total", "Connections closed at once because they were too many.", true, func(c Connections) float64 { return float64(c.Refused) }},
}

// journalMetrics are the numbers of each journal. Two kinds of rounds compete: those of the
// journal, and syncs of the files themselves.
var journalMetrics = []struct {
	name, help string
	counter    bool
	of         func(Journal) float64
}{
	{"rounds_total", "Rounds that were made durable by the journal.", true, func(j Journal) float64 { return float64(j.Rounds) }},
	{"entries_total", "Requests that they served.", true, func(j Journal) float64 { return float64(j.Entries) }},
	{"bytes_total", "Bytes that they made durable.", true, func(j Journal) float64 { return float64(j.Bytes) }},
	{"file_syncs_total", "Syncs of a file itself that somebody waited for.", true, func(j Journal) float64 { return float64(j.FileSyncs) }},
	{"file_bytes_total", "Bytes that they made durable.", true, func(j Journal) float64 { return float64(j.FileBytes) }},
	{"checkpoints_total", "Syncs of a file whose bytes were durable in the journal only.", true, func(j Journal) float64 { return float64(j.Checkpoints) }},
	{"recycled_total", "Files of the journal that were used again.", true, func(j Journal) float64 { return float64(j.Recycled) }},
	{"replayed_total", "Ranges that the start wrote to their files.", true, func(j Journal) float64 { return float64(j.Replayed) }},
	{"owing_files", "Files whose bytes are durable in the journal only.", false, func(j Journal) float64 { return float64(j.Owing) }},
	{"last_round_seconds", "Time of the last round.", false, func(j Journal) float64 { return j.LastRoundSeconds }},
	{"last_file_sync_seconds", "Time of the last sync of a file itself.", false, func(j Journal) float64 { return j.LastFileSyncSeconds }},
}

// logGauges are the numbers of each partition's log.
var logGauges = []struct {
	name, help string
	of         func(Log) int64
}{
	{"kafka_log_log_size", "Bytes of the log.", func(l Log) int64 { return l.Bytes }},
	{"kafka_log_log_logstartoffset", "First offset of the log.", func(l Log) int64 { return l.Start }},
	{"kafka_log_log_logendoffset", "Offset after the last of the log.", func(l Log) int64 { return l.End }},
	{"kafka_log_log_numlogsegments", "Segments of the log.", func(l Log) int64 { return l.Segments }},
}
