package quorum

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
)

// stateFile holds what raft calls its hard state.
const stateFile = "quorum-state"

// noVote is the vote of a node that gave none in its term.
const noVote = -1

// hardState is what this node promised and knows. Ids are node ids; raft's are one higher,
// for it has no node 0.
type hardState struct {
	Version   int    `json:"version"`
	ClusterID string `json:"clusterId"`
	Term      uint64 `json:"term"`
	Vote      int32  `json:"vote"`
	// Commit is an index that is known to be committed, not always the newest.
	Commit uint64 `json:"commit"`
}

// encode is the text of the file: one line of JSON, and its CRC-32C on the next.
func (s hardState) encode() []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("quorum: hard state does not become JSON: %v", err))
	}
	return fmt.Appendf(text, "\n%08x\n", crc32.Checksum(text, castagnoli))
}

func parseState(text []byte) (hardState, error) {
	line, rest, _ := bytes.Cut(text, []byte("\n"))
	var s hardState
	if want := fmt.Sprintf("%08x\n", crc32.Checksum(line, castagnoli)); string(rest) != want {
		return s, fmt.Errorf("checksum is %.20q, want %q", rest, want)
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return s, err
	}
	switch {
	case s.Version != 0:
		return s, fmt.Errorf("version is %d; this program knows version 0", s.Version)
	case s.Vote < noVote:
		return s, fmt.Errorf("vote is for node %d", s.Vote)
	}
	return s, nil
}
