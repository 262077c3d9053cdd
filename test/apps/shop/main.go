// Command shop is the demo workload: a small HTTP server with Prometheus metrics whose behaviour the image's
// environment chooses, so that two image tags differ as two versions of a real program would.
//
//	VERSION         what it answers in the body and in the header x-version
//	BEHAVIOUR       good | failing | slow | crash | unready | leak
//	FAIL_SHARE      failing, leak: share of requests answered with 500, 0..1 (default 0.3)
//	DELAY_MS        slow: milliseconds added to every answer (default 400)
//	LEAK_AFTER_S    leak: seconds after the start from which it fails (default 30)
//	PORT            where it listens (default 8080)
//	START_DELAY_MS  milliseconds before it listens (default 0)
//	DEPENDENCY      a URL that every answer needs, asked with ?version= and &pod=; without a 2xx the shop answers 502 (default none)
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

const (
	// Longest wait for open requests after SIGTERM.
	shutdownTimeout = 5 * time.Second
	// Longest wait for the dependency.
	dependencyTimeout = time.Second
)

type settings struct {
	version, behaviour string
	failShare          float64
	delay, leakAfter   time.Duration
	startDelay         time.Duration
	dependency         string
	address            string
}

func main() {
	s := readSettings()
	if s.behaviour == "crash" {
		log.Fatalf("shop %s: crashing as told", s.version)
	}
	time.Sleep(s.startDelay)

	m := newMetrics()
	server := &http.Server{Addr: s.address, Handler: newHandler(s, m, time.Now()), ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		limited, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		done <- server.Shutdown(limited)
	}()
	log.Printf("shop %s (%s) listens on %s", s.version, s.behaviour, s.address)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	log.Printf("shop %s ended", s.version)
}

func readSettings() settings {
	return settings{
		version:    text("VERSION", "dev"),
		behaviour:  oneOf(text("BEHAVIOUR", "good"), "good", "failing", "slow", "crash", "unready", "leak"),
		failShare:  number("FAIL_SHARE", 0.3),
		delay:      time.Duration(number("DELAY_MS", 400)) * time.Millisecond,
		leakAfter:  time.Duration(number("LEAK_AFTER_S", 30)) * time.Second,
		startDelay: time.Duration(number("START_DELAY_MS", 0)) * time.Millisecond,
		dependency: text("DEPENDENCY", ""),
		address:    ":" + text("PORT", "8080"),
	}
}

func newHandler(s settings, m *metrics, startedAt time.Time) http.Handler {
	needs := newDependency(s)
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if s.behaviour == "unready" {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	// For a hook before the stop that older clients know: routers hear of a leaving pod a moment late.
	mux.HandleFunc("/linger", func(http.ResponseWriter, *http.Request) { time.Sleep(3 * time.Second) })
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { m.write(w) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		status := s.statusAt(time.Since(startedAt))
		if !needs() {
			status = http.StatusBadGateway
		}
		if s.behaviour == "slow" {
			time.Sleep(s.delay)
		}
		w.Header().Set("content-type", "application/json")
		w.Header().Set("x-version", s.version)
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"version": s.version, "pod": os.Getenv("HOSTNAME"), "path": r.URL.Path})
		m.observe(labels{method: r.Method, status: status}, time.Since(begin))
	})
	return mux
}

// newDependency tells whether what the shop depends on answers.
func newDependency(s settings) func() bool {
	if s.dependency == "" {
		return func() bool { return true }
	}
	query := url.Values{"version": {s.version}, "pod": {os.Getenv("HOSTNAME")}}
	client := &http.Client{Timeout: dependencyTimeout}
	return func() bool {
		answer, err := client.Get(s.dependency + "?" + query.Encode())
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		return err == nil && answer.StatusCode/100 == 2
	}
}

// statusAt draws the status of one answer, given how long the server has been running.
func (s settings) statusAt(age time.Duration) int {
	fails := s.behaviour == "failing" || s.behaviour == "leak" && age >= s.leakAfter
	if fails && rand.Float64() < s.failShare {
		return http.StatusInternalServerError
	}
	return http.StatusOK
}

func text(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

func number(name string, fallback float64) float64 {
	value, err := strconv.ParseFloat(text(name, fmt.Sprint(fallback)), 64)
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return value
}

func oneOf(value string, known ...string) string {
	for _, each := range known {
		if value == each {
			return value
		}
	}
	log.Fatalf("BEHAVIOUR: %q is none of %v", value, known)
	return ""
}
