package command

import (
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/command/console"
	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/spf13/cobra"
)

func logCommand(env *environment) *cobra.Command {
	return parent("log", "Look at the files of a broker that is stopped", dumpLog(env), verifyLog(env))
}

func dumpLog(env *environment) *cobra.Command {
	var o commitlog.DumpOptions
	var offsets, transactions, metadata bool
	cmd := &cobra.Command{
		Use: "dump FILE...", Short: "Print what a .log, .index, .timeindex or .snapshot file holds",
		Long:    "Print what files of a partition hold, as kafka-dump-log does. A folder stands for the .log files in it.",
		Example: "  millrace log dump --records millrace-data/orders-0",
		Args:    arguments(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if offsets {
				o.Decode, o.PrintDataLog = console.DecodeCoordinator, true
			}
			if transactions {
				o.Decode, o.PrintDataLog = console.DecodeTransaction, true
			}
			if metadata {
				o.Decode, o.PrintDataLog = console.DecodeMetadata, true
			}
			for _, path := range args {
				files, err := logFiles(path)
				if err != nil {
					return err
				}
				for _, file := range files {
					if err := commitlog.Dump(diskio.OS, file, o, env.Out); err != nil {
						return fmt.Errorf("dump %s: %w", file, err)
					}
				}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.PrintDataLog, "print-data-log", "p", false, "print the records, with key and value")
	flags.BoolVar(&o.PrintDataLog, "records", false, "the same as --print-data-log")
	flags.BoolVar(&o.DeepIteration, "deep-iteration", false, "print the records, without key and value")
	flags.BoolVar(&o.SkipRecordMetadata, "skip-record-metadata", false, "print only key and value of records")
	flags.BoolVar(&offsets, "offsets-decoder", false, "print the records of __consumer_offsets in words")
	flags.BoolVar(&transactions, "transaction-log-decoder", false, "print the records of __transaction_state in words")
	flags.BoolVar(&metadata, "cluster-metadata-decoder", false, "print the records of __cluster_metadata, which are JSON of Millrace's own")
	cmd.MarkFlagsMutuallyExclusive("offsets-decoder", "transaction-log-decoder", "cluster-metadata-decoder")
	flags.BoolVar(&o.VerifyIndexOnly, "verify-index-only", false, "print only where an index contradicts its log")
	flags.BoolVar(&o.IndexSanityCheck, "index-sanity-check", false, "print only whether an index can be read")
	flags.Int64Var(&o.MaxBytes, "max-bytes", 0, "read only so much of each log (default: all)")
	return cmd
}

// logFiles are the files that path stands for: itself, or the logs in it.
func logFiles(path string) ([]string, error) {
	info, err := diskio.OS.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	if !info.Dir {
		return []string{path}, nil
	}
	names, err := diskio.OS.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	var files []string
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			files = append(files, filepath.Join(path, name))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no .log file: name the folder of a partition", path)
	}
	return files, nil
}

func verifyLog(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "verify DIR...", Short: "Check every record of partitions, and their indexes",
		Long: "Read all that partitions hold, down to the records, and report what should not be. DIR is the folder of a partition,\n" +
			"or a data folder with many. Of that the journal is read too (its files, what it still has of which partition, and what is\n" +
			"damaged), the metadata log, and the broker's notes: whether they can be read, and logs end where they did. Nothing is changed. The broker must be stopped: what it is writing looks like damage.",
		Example: "  millrace log verify millrace-data",
		Args:    arguments(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			problems, checked := 0, 0
			tell := func(p commitlog.Problem) {
				problems++
				fmt.Fprintln(env.Out, p)
			}
			for _, dir := range args {
				logs, found, err := verifyFolder(env.Out, dir, tell)
				if err != nil {
					return err
				}
				problems += found
				checked += logs
			}
			fmt.Fprintf(env.Out, "%d partitions checked, %d problems found\n", checked, problems)
			if problems > 0 {
				return session.ErrReported
			}
			return nil
		},
	}
}

var partitionFolder = regexp.MustCompile(`-\d+$`)

// verifyFolder verifies the folder of a partition, or a data folder with all that is in it. It answers how many
// logs there were, and problems that it told of by itself.
func verifyFolder(out io.Writer, dir string, tell func(commitlog.Problem)) (logs, problems int, err error) {
	names, err := diskio.OS.ReadDir(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("look at %s: %w", dir, err)
	}
	if slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, ".log") }) {
		if err := commitlog.Verify(diskio.OS, dir, tell); err != nil {
			return 0, 0, fmt.Errorf("verify %s: %w", dir, err)
		}
		return 1, 0, nil
	}
	if !slices.ContainsFunc(names, partitionFolder.MatchString) {
		return 0, 0, fmt.Errorf("%s is neither the folder of a partition nor holds any", dir)
	}
	problems, rest, err := verifyJournal(out, dir)
	if err != nil { // the partitions are of interest all the same
		tell(commitlog.Problem{File: filepath.Join(dir, "journal"), Position: -1, Text: err.Error() + "; what it still has of partitions is not known"})
	}
	logs, err = engine.Verify(diskio.OS, dir, rest, tell)
	return logs, problems, err
}
