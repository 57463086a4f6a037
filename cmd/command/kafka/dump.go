package kafka

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/command/console"
	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
)

const stringDecoder = "org.apache.kafka.tools.api.StringDecoder"

func dumpTool() *Tool {
	class := func(name, help string) option.Option {
		return option.Option{Name: name, Argument: option.Optional, Default: stringDecoder, Help: help}
	}
	return &Tool{Name: "kafka-dump-log", run: runDump, fail: failPlain, set: option.Set{
		Program: "kafka-dump-log",
		Summary: "This tool helps to parse a log file and dump its contents to the console, useful for debugging a seemingly corrupt log segment.",
		Options: withHelp(
			required("files", "file1, file2, ...", "REQUIRED: The files to dump, separated by commas: .log, .index, .timeindex, .txnindex, .snapshot."),
			toggle("print-data-log", "Print key and value of records too. Set by each decoder option."),
			toggle("deep-iteration", "Print records, and not only batches. Set by --print-data-log."),
			toggle("verify-index-only", "Print only where an index contradicts its log."),
			toggle("index-sanity-check", "Print only whether an index can be read."),
			number("max-message-size", option.Integer, "5242880", "size", "Size of the largest message: accepted, and of no meaning here."),
			number("max-bytes", option.Integer, fmt.Sprint(math.MaxInt32), "size", "Read only so much of each log."),
			class("value-decoder-class", "How values are printed: "+stringDecoder+"."), class("key-decoder-class", "How keys are printed, likewise."),
			toggle("offsets-decoder", "Print the records of __consumer_offsets in words."),
			toggle("transaction-log-decoder", "Print the records of __transaction_state in words."),
			toggle("cluster-metadata-decoder", "Print the records of __cluster_metadata, which are JSON of Millrace's own."),
			toggle("remote-log-metadata-decoder", "Print the records of remote log metadata in words: there are none here."),
			toggle("share-group-state-decoder", "Print the records of __share_group_state in words: there are none here."),
			toggle("skip-record-metadata", "Print only key and value of records."),
		),
	}}
}

// decoders are the options that say what the records are.
var decoders = []string{"offsets-decoder", "transaction-log-decoder", "cluster-metadata-decoder", "remote-log-metadata-decoder", "share-group-state-decoder"}

func dumpOptions(g *option.Given) (commitlog.DumpOptions, error) {
	o := commitlog.DumpOptions{PrintDataLog: g.HasAny("print-data-log", "value-decoder-class", "key-decoder-class") || g.HasAny(decoders...),
		DeepIteration: g.Has("deep-iteration"), SkipRecordMetadata: g.Has("skip-record-metadata"),
		VerifyIndexOnly: g.Has("verify-index-only"), IndexSanityCheck: g.Has("index-sanity-check")}
	if n := g.Long("max-bytes"); n != math.MaxInt32 {
		o.MaxBytes = n
	}
	switch {
	case g.Has("offsets-decoder"):
		o.Decode = console.DecodeCoordinator
	case g.Has("transaction-log-decoder"):
		o.Decode = console.DecodeTransaction
	case g.Has("cluster-metadata-decoder"):
		o.Decode = console.DecodeMetadata
	case g.HasAny(decoders...):
		return o, &plainError{"Only --offsets-decoder, --transaction-log-decoder and --cluster-metadata-decoder are known here: there are no records of other kinds"}
	case g.Text("value-decoder-class") != stringDecoder || g.Text("key-decoder-class") != stringDecoder:
		return o, &plainError{"Failed to load decoder class: only " + stringDecoder + " is known here"}
	}
	return o, nil
}

// dumpable are the endings of the files that can be dumped.
var dumpable = []string{".log", ".index", ".timeindex", ".txnindex", ".snapshot"}

func runDump(c *call) error {
	if err := c.given.Require("files"); err != nil {
		return err
	}
	o, err := dumpOptions(c.given)
	if err != nil {
		return err
	}
	var problems bytes.Buffer // they come last
	o.Problems = &problems
	for _, path := range strings.Split(c.given.Text("files"), ",") {
		if !slices.Contains(dumpable, filepath.Ext(path)) {
			fmt.Fprintf(c.Out, "Dumping %s\n", path)
			fmt.Fprintf(c.Err, "Ignoring unknown file %s\n", path)
			continue
		}
		if err := commitlog.Dump(diskio.OS, path, o, c.Out); err != nil {
			return err
		}
	}
	_, err = c.Err.Write(problems.Bytes())
	return err
}
