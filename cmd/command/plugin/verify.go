package plugin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"

	"github.com/millrace/millrace/plugins/wasm"
	"github.com/millrace/millrace/sdk"
)

// Verify loads a module as a broker or a client would, and says what it is. Settings are
// those of the plugin, without its name before them.
func Verify(out io.Writer, file, pinned string, settings map[string]string) (wasm.Info, error) {
	values := map[string]string{"path": file}
	maps.Copy(values, settings)
	if pinned != "" {
		values["sha256"] = pinned
	}
	info, err := wasm.Inspect(sdk.NewConfig(values))
	if err != nil || out == nil {
		return info, err
	}
	fmt.Fprintf(out, "sha256:       %s\nkind:         %s\n", info.SHA256, strings.Join(info.Kinds, ", "))
	var sees []string
	if info.Produce {
		sees = append(sees, "produce")
	}
	if info.Fetch {
		sees = append(sees, "fetch")
	}
	if len(sees) > 0 {
		fmt.Fprintf(out, "sees:         %s\nfail closed:  %t\n", strings.Join(sees, ", "), info.FailClosed)
	}
	fmt.Fprintf(out, "memory:       %d KiB an instance\n", info.Memory>>10)
	for _, name := range info.Imports {
		fmt.Fprintf(out, "imports:      %s\n", name)
	}
	return info, nil
}

// Sum is the SHA-256 of a file.
func Sum(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the module: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// Pairs reads name=value, and puts prefix before the names.
func Pairs(prefix string, pairs []string) (map[string]string, error) {
	values := make(map[string]string)
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q: expected name=value", pair)
		}
		values[prefix+name] = value
	}
	return values, nil
}
