package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// answer is what became of one request: a code and a version, or a failure.
type answer struct {
	code, version    string
	failure, message string
	took             time.Duration
}

type latencies struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

type summary struct {
	Seconds   float64        `json:"seconds"`
	Total     int            `json:"total"`     // all requests that were sent
	OK        int            `json:"ok"`        // answered with less than 400
	Failed    int            `json:"failed"`    // the rest: codes from 400 on, and errors
	ByCode    map[string]int `json:"byCode"`    // answers only
	ByVersion map[string]int `json:"byVersion"` // answers only, by the header x-version
	// Answers by version and code, as "1.1 500".
	ByVersionAndCode map[string]int `json:"byVersionAndCode"`
	// refused | reset | timeout | eof | unreachable | dns | other: requests without an answer.
	Errors    map[string]int `json:"errors"`
	LastError string         `json:"lastError,omitempty"`
	Dropped   int            `json:"dropped"`   // not sent, since all clients were busy
	LatencyMS latencies      `json:"latencyMs"` // answers only
}

// recorder counts answers, for the whole run and for the current second.
type recorder struct {
	mutex  sync.Mutex
	began  time.Time
	all    counts
	second counts
}

type counts struct {
	answers                           int
	byCode, byVersion, byBoth, errors map[string]int
	ok, dropped                       int
	took                              []float64
	lastError                         string
}

func newCounts() counts {
	return counts{byCode: map[string]int{}, byVersion: map[string]int{}, byBoth: map[string]int{}, errors: map[string]int{}}
}

func newRecorder(began time.Time) *recorder {
	return &recorder{began: began, all: newCounts(), second: newCounts()}
}

func (r *recorder) add(a answer) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.all.add(a)
	r.second.add(a)
}

func (r *recorder) drop() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.all.dropped++
	r.second.dropped++
}

func (c *counts) add(a answer) {
	c.answers++
	if a.failure != "" {
		c.errors[a.failure]++
		c.lastError = a.message
		return
	}
	c.byCode[a.code]++
	c.byVersion[a.version]++
	c.byBoth[a.version+" "+a.code]++
	if a.code < "400" {
		c.ok++
	}
	c.took = append(c.took, float64(a.took.Microseconds())/1000)
}

func (c *counts) summary(seconds float64) summary {
	slices.Sort(c.took)
	return summary{
		Seconds: seconds, Total: c.answers, OK: c.ok, Failed: c.answers - c.ok,
		ByCode: c.byCode, ByVersion: c.byVersion, ByVersionAndCode: c.byBoth, Errors: c.errors, LastError: c.lastError, Dropped: c.dropped,
		LatencyMS: latencies{P50: quantile(c.took, .5), P90: quantile(c.took, .9), P99: quantile(c.took, .99), Max: quantile(c.took, 1)},
	}
}

func (r *recorder) summary(took time.Duration) summary {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.all.summary(took.Seconds())
}

// printTimeline prints the counts of each second, with the second's number since the start as "seconds".
func (r *recorder) printTimeline(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	out := json.NewEncoder(os.Stdout)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.mutex.Lock()
			done := r.second
			r.second = newCounts()
			r.mutex.Unlock()
			_ = out.Encode(done.summary(time.Since(r.began).Round(time.Second).Seconds()))
		}
	}
}

func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// kindOf names an error by what a person would look for.
func kindOf(err error) string {
	var timeout net.Error
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "dns"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "eof"
	default:
		return "other"
	}
}

func cut(header string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(header, ":")
	return strings.TrimSpace(name), strings.TrimSpace(value), ok
}
