package tools

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
)

// features: what is finalized, what a release means, and a change that is none.
func (t *set) features(ctx context.Context) error {
	features := func(arguments ...string) said { return t.tool(ctx, "", "kafka-features", arguments...) }
	s := features("describe")
	row := `(?m)^Feature: transaction\.version {23}SupportedMinVersion: 0 {16}SupportedMaxVersion: 2 {16}FinalizedVersionLevel: 2 {16}Epoch: \d+$`
	if err := s.Err(); err != nil {
		return err
	} else if !regexp.MustCompile(row).MatchString(s.out) {
		return s.wrong("transaction.version is missing")
	}
	return steps(
		func() error {
			return features("upgrade", "--feature", "transaction.version=2", "--dry-run").prints(`transaction\.version can be upgraded to 2\.`)
		},
		func() error {
			return features("upgrade", "--feature", "transaction.version=2").prints(`transaction\.version was upgraded to 2\.`)
		},
		func() error {
			s := features("upgrade", "--feature", "transaction.version=99")
			if !strings.Contains(s.err, "1 out of 1 operation(s) failed.") {
				return s.wrong("not said that the operation failed")
			}
			return s.fails("Could not upgrade transaction.version to 99. ")
		},
		func() error {
			return features("version-mapping", "--release-version", "4.0-IV1").prints(`metadata\.version=23 \(4\.0-IV1\)`, `kraft\.version=1`, `transaction\.version=0`,
				`group\.version=1`, `eligible\.leader\.replicas\.version=0`, `share\.version=0`, `streams\.version=0`)
		},
		func() error {
			return features("feature-dependencies", "--feature", "eligible.leader.replicas.version=1").prints(
				`eligible\.leader\.replicas\.version=1 requires:`, ` {4}metadata\.version=23 \(4\.0-IV1\)`)
		},
	)
}

// quorum: who leads the metadata, and how far its replicas are.
func (t *set) quorum(ctx context.Context) error {
	describe := func(arguments ...string) said {
		return t.tool(ctx, "", "kafka-metadata-quorum", append([]string{"describe"}, arguments...)...)
	}
	head := `NodeId\tDirectoryId {11}\tLogEndOffset\tLag\tLastFetchTimestamp *\tLastCaughtUpTimestamp *\tStatus\t`
	return steps(
		func() error {
			return describe("--status").prints(`ClusterId: {14}[\w-]{22}`, `LeaderId: {15}\d+`, `LeaderEpoch: {12}\d+`, `HighWatermark: {10}\d+`, `MaxFollowerLag: {9}0`,
				`MaxFollowerLagTimeMs: {3}0`, `CurrentVoters: {10}\[\{"id": \d+, .*"endpoints": \["\w+://127\.0\.0\.1:\d+"\]\}\]`, `CurrentObservers: {7}\[\]`)
		},
		func() error {
			return describe("--replication").prints(head, `\d+ *\t[\w-]{22}\t\d+ *\t0 *\t\d+ *\t\d+ *\tLeader\t`)
		},
		func() error {
			return describe("--replication", "--human-readable").prints(head, `\d+ *\t[\w-]{22}\t\d+ *\t0 *\t\d+ ms ago *\t\d+ ms ago *\tLeader\t`)
		},
		func() error {
			return describe().fails("One of --status or --replication must be specified with describe sub-command")
		},
	)
}

// dumpLog prints the files of a partition, from the folder in which kafka-log-dirs says that it lies.
func (t *set) dumpLog(ctx context.Context) error {
	topic := t.Name("dump-log")
	if err := t.create(ctx, topic, 1); err != nil {
		return err
	}
	if err := t.produce(ctx, topic, "a,1\nb,2\n", "--reader-property", "parse.key=true", "--reader-property", "key.separator=,"); err != nil {
		return err
	}
	s := t.tool(ctx, "", "kafka-log-dirs", "--describe", "--topic-list", topic)
	dir := regexp.MustCompile(`"logDir":"([^"]*)"`).FindStringSubmatch(s.out)
	if dir == nil {
		return s.wrong("no folder")
	}
	log := filepath.Join(dir[1], topic+"-0", "00000000000000000000.log")
	dump := func(arguments ...string) said {
		return run(ctx, "", append(t.start("kafka-dump-log"), arguments...), "kafka-dump-log "+strings.Join(arguments, " "))
	}
	head := []string{"Dumping " + regexp.QuoteMeta(log), "Log starting offset: 0"}
	batch := `baseOffset: 0 lastOffset: 1 count: 2 baseSequence: 0 lastSequence: 1 producerId: \d+ producerEpoch: 0 partitionLeaderEpoch: 0 isTransactional: false ` +
		`isControl: false deleteHorizonMs: OptionalLong\.empty position: 0 CreateTime: \d{13} size: \d+ magic: 2 compresscodec: none crc: \d+ isvalid: true`
	record := func(offset, key, value string) string {
		return `\| offset: ` + offset + ` CreateTime: \d{13} keySize: 1 valueSize: 1 sequence: ` + offset + ` headerKeys: \[\]` + key + value
	}
	return steps(
		func() error { return dump("--files", log).prints(append(head, batch)...) },
		func() error {
			return dump("--files", log, "--deep-iteration").prints(append(head, batch, record("0", "", ""), record("1", "", ""))...)
		},
		func() error {
			return dump("--files", log, "--print-data-log").prints(append(head, batch, record("0", " key: a", " payload: 1"), record("1", " key: b", " payload: 2"))...)
		},
		func() error { return dump("--print-data-log").fails(`Missing required argument "[files]"`) },
	)
}
