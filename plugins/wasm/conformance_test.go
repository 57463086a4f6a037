package wasm_test

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/millrace/millrace/plugins/wasm"
	"github.com/millrace/millrace/plugins/wasm/testdata/kinds"
	"github.com/millrace/millrace/plugins/wasm/testdata/mask"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/sdktest"
)

func TestTheMaskInRustAnswersAsTheNativeOne(t *testing.T) {
	sdktest.Interceptor(t, sdktest.Subject{New: mask.New, Module: "testdata/mask.wasm"})
}

// fromGo is a module that is built of a folder in testdata.
func fromGo(t *testing.T, folder string) string {
	t.Helper()
	if wasm.RaceEnabled {
		t.Skip("compiling two megabytes takes minutes with the race detector, which sees nothing of what runs then")
	}
	module, err := wasm.GoGuest(folder)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), folder+".wasm")
	if err := os.WriteFile(path, module, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheMaskFromGoAnswersAsTheNativeOne(t *testing.T) {
	// A record of a mebibyte is copied several times.
	sdktest.Interceptor(t, sdktest.Subject{New: mask.New, Module: fromGo(t, "goguest"), Limits: map[string]string{"memory.max": "33554432"}})
}

var temperatures = []kinds.Temperature{0, 1, -1, -273_150, -273_151, 1<<31 - 1, -1 << 31}

func TestKindsInRustAnswerAsTheNativeOnes(t *testing.T) {
	for _, config := range []map[string]string{nil, {"first": "2"}} {
		sdktest.PartitionerModule(t, sdktest.PartitionerSubject{New: kinds.NewPartitioner, Config: config, Module: "testdata/partitioner.wasm"})
	}
	for _, config := range []map[string]string{nil, {"header": "unit"}} {
		sdktest.SerializerModule(t, sdktest.SerializerSubject[kinds.Temperature]{Name: "temperature", Config: config, Module: "testdata/serializer.wasm"}, temperatures...)
	}
	sdktest.Assignor(t, sdktest.AssignorSubject{New: kinds.NewAssignor, Module: "testdata/assignor.wasm"})
	for _, config := range []map[string]string{nil, {"name": "shop", "secret": "text"}} {
		sdktest.ProducerInterceptor(t, sdktest.ProducerInterceptorSubject{New: kinds.NewOrigin, Config: config, Module: "testdata/producer_interceptor.wasm"})
	}
	for _, config := range []map[string]string{nil, {"prefix": "t"}} {
		sdktest.ConsumerInterceptor(t, sdktest.ConsumerInterceptorSubject{New: kinds.NewSieve, Config: config, Module: "testdata/consumer_interceptor.wasm"})
	}
}

func TestKindsFromGoAnswerAsTheNativeOnes(t *testing.T) {
	if os.Getenv("MILLRACE_WALK") == "" {
		t.Skip("five modules of two megabytes are compiled: set MILLRACE_WALK=1, as `.ci/run guests` does")
	}
	t.Run("partitioner", func(t *testing.T) {
		sdktest.PartitionerModule(t, sdktest.PartitionerSubject{New: kinds.NewPartitioner, Config: map[string]string{"first": "1"}, Module: fromGo(t, "gopartitioner")})
	})
	t.Run("serializer", func(t *testing.T) {
		sdktest.SerializerModule(t, sdktest.SerializerSubject[kinds.Temperature]{Name: "temperature", Config: map[string]string{"header": "unit"}, Module: fromGo(t, "goserializer")}, temperatures...)
	})
	t.Run("assignor", func(t *testing.T) {
		sdktest.Assignor(t, sdktest.AssignorSubject{New: kinds.NewAssignor, Module: fromGo(t, "goassignor")})
	})
	t.Run("producer interceptor", func(t *testing.T) {
		module := fromGo(t, "goproducer")
		sdktest.ProducerInterceptor(t, sdktest.ProducerInterceptorSubject{New: kinds.NewOrigin, Config: map[string]string{"name": "shop"}, Module: module})
		manyHeaders(t, module)
	})
	t.Run("consumer interceptor", func(t *testing.T) {
		sdktest.ConsumerInterceptor(t, sdktest.ConsumerInterceptorSubject{New: kinds.NewSieve, Config: map[string]string{"prefix": "t"}, Module: fromGo(t, "goconsumer")})
	})
}

// manyHeaders sends a record with thousands of small headers through a module that has the fuel of every module.
func manyHeaders(t *testing.T, module string) {
	made, err := sdk.ProducerInterceptors.New("wasm", sdk.NewConfig(map[string]string{"path": module, "config.name": "shop"}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = made.(io.Closer).Close() }()
	const count = 3000
	var spent int64
	for range 3 { // the first has room to make
		r := &sdk.Record{Topic: "t", Value: "v", Headers: slices.Repeat([]sdk.Header{{Key: "key", Value: []byte("v")}}, count)}
		before := made.(*wasm.ProducerInterceptor).Spent()
		if err := made.OnSend(r); err != nil || len(r.Headers) != count+1 {
			t.Fatalf("a record with %d headers has %d: %v", count, len(r.Headers), err)
		}
		spent = made.(*wasm.ProducerInterceptor).Spent() - before
	}
	if spent > 4000*count {
		t.Errorf("a header costs %d", spent/count)
	}
}
