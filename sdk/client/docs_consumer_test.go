package client_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every example of these pages stands in a file that is compiled and run.
func TestPagesShowWhatIsRun(t *testing.T) {
	var code strings.Builder
	for _, pattern := range []string{"example_consumer_test.go", "../serde/example_test.go", "../serde/*/example_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code.WriteString(flat(string(text)))
		}
	}
	for _, page := range []string{"../../docs/consumer.md", "../../docs/serializers.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		shown := 0
		for _, block := range strings.Split(string(text), "```go\n")[1:] {
			block, _, closed := strings.Cut(block, "```")
			if !closed || !strings.Contains(code.String(), flat(block)) {
				t.Errorf("%s shows what stands in no example:\n%s", page, block)
			}
			shown++
		}
		if shown < 2 {
			t.Errorf("%s has %d examples: the test looks for the wrong thing", page, shown)
		}
	}
	if strings.Contains(code.String(), flat("consumer.Nowhere()")) {
		t.Error("the test finds what is not there")
	}
}

// flat is code without its indentation.
func flat(code string) string {
	var lines strings.Builder
	for line := range strings.Lines(code) {
		if line = strings.TrimSpace(line); line != "" {
			lines.WriteString(line + "\n")
		}
	}
	return lines.String()
}
