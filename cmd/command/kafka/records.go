package kafka

import (
	"os"

	"github.com/millrace/millrace/cmd/command/option"
	"github.com/millrace/millrace/cmd/command/records"
)

func deleteRecordsTool() *Tool {
	return &Tool{Name: "kafka-delete-records", run: runDeleteRecords, fail: failPlain, set: option.Set{
		Program: "kafka-delete-records",
		Summary: "This tool helps to delete records of the given partitions down to the specified offset.",
		Options: withHelp(
			required("bootstrap-server", "server(s) to use for bootstrapping", "REQUIRED: The server to connect to."),
			required("offset-json-file", "Offset json file path", `REQUIRED: The JSON file with an offset for each partition: `+
				`{"partitions": [{"topic": "foo", "partition": 1, "offset": 1}], "version": 1}`),
			adminConfig(),
		),
	}}
}

func runDeleteRecords(c *call) error {
	if err := c.given.Require("bootstrap-server", "offset-json-file"); err != nil {
		return err
	}
	path := c.given.Text("offset-json-file")
	text, err := os.ReadFile(path)
	if err != nil {
		return &plainError{"Unable to read file " + path}
	}
	all, err := records.ParseJSON(text)
	if err != nil {
		return &plainError{err.Error()}
	}
	s, err := c.open()
	if err != nil {
		return err
	}
	defer s.Close()
	return records.Delete(c.ctx, s, all)
}
