//go:build !linux

package diskio

import "errors"

// ReadDirect is for Linux alone.
func (osFile) ReadDirect([]byte, int64) (int, error) { return 0, errors.ErrUnsupported }

func chunkMemory() []byte { return make([]byte, ChunkBytes) }

func freeChunkMemory([]byte) {}
