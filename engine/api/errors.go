package api

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// code is the number by which the protocol knows err; 0 for nil, UNKNOWN_SERVER_ERROR
// for an error that is not the protocol's.
func code(err error) int16 {
	if err == nil {
		return 0
	}
	var known *kerr.Error
	if errors.As(err, &known) {
		return known.Code
	}
	return kerr.UnknownServerError.Code
}

// message is what there is to say beyond the code, empty when there is nothing.
func message(err error) string {
	if err == nil {
		return ""
	}
	if _, bare := err.(*kerr.Error); bare { //nolint:errorlint // a bare error says nothing beyond its code
		return ""
	}
	return err.Error()
}

// unknownTopic is the error for a topic that does not exist.
func unknownTopic(byID bool) *kerr.Error {
	if byID {
		return kerr.UnknownTopicID
	}
	return kerr.UnknownTopicOrPartition
}
