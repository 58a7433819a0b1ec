// A WebSocket server around gorilla/websocket, as the systems that Gaugeway replaces are built: a
// reading and a writing goroutine per connection, a ping every 30 s, a read limit of 64 KiB, a hub.
//
// /ws-notifications echoes, /ws broadcasts to every client, /stats counts, so that the bench's client
// can be checked.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	writeWait      = 15 * time.Second
	pongWait       = 60 * time.Second
	pingInterval   = 30 * time.Second
	maxMessageSize = 64 << 10
	// Messages that may wait for one client before the hub drops it.
	queueLength = 256
)

// Counted by the server itself, over its whole life.
type counts struct {
	Connections atomic.Int64
	Received    atomic.Int64
	Sent        atomic.Int64
}

// A client. An echo that answers from its reading goroutine has no queue.
type client struct {
	socket *websocket.Conn
	queue  chan queued
	counts *counts
}

// A message that waits for the writing goroutine.
type queued interface {
	write(socket *websocket.Conn) error
}

// A broadcast, encoded once for all.
type prepared struct{ message *websocket.PreparedMessage }

func (p prepared) write(socket *websocket.Conn) error {
	return socket.WritePreparedMessage(p.message)
}

// The answer to one client.
type answer struct {
	kind int
	data []byte
}

func (a answer) write(socket *websocket.Conn) error {
	return socket.WriteMessage(a.kind, a.data)
}

// read hands every message to handle until the connection ends.
func (c *client) read(handle func(kind int, data []byte)) {
	c.socket.SetReadLimit(maxMessageSize)
	c.socket.SetReadDeadline(time.Now().Add(pongWait))
	c.socket.SetPongHandler(func(string) error {
		return c.socket.SetReadDeadline(time.Now().Add(pongWait))
	})
	for {
		kind, data, err := c.socket.ReadMessage()
		if err != nil {
			return
		}
		c.counts.Received.Add(1)
		handle(kind, data)
	}
}

// write sends what is queued, and pings, until the queue is closed or the socket fails.
func (c *client) write() {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	defer c.socket.Close()
	for {
		select {
		case message, open := <-c.queue:
			c.socket.SetWriteDeadline(time.Now().Add(writeWait))
			if !open {
				c.socket.WriteMessage(websocket.CloseMessage, nil)
				return
			}
			if err := message.write(c.socket); err != nil {
				return
			}
			c.counts.Sent.Add(1)
		case <-ticker.C:
			c.socket.SetWriteDeadline(time.Now().Add(writeWait))
			if err := c.socket.WriteMessage(websocket.PingMessage, nil); err != nil {
				return
			}
		}
	}
}

// echoThroughQueue hands the answer to the writing goroutine, as a server must that also pushes: gorilla
// permits one writer at a time.
func (c *client) echoThroughQueue(kind int, data []byte) {
	c.queue <- answer{kind, data}
}

// echoDirectly answers from the reading goroutine, which only a server that never pushes may do.
func (c *client) echoDirectly(kind int, data []byte) {
	c.socket.SetWriteDeadline(time.Now().Add(writeWait))
	if c.socket.WriteMessage(kind, data) == nil {
		c.counts.Sent.Add(1)
	}
}

// ping keeps a direct echo alive until done; WriteControl may run beside its writes.
func (c *client) ping(done <-chan struct{}) {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	defer c.socket.Close()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			if c.socket.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait)) != nil {
				return
			}
		}
	}
}

// The hub owns the set of clients; only its goroutine touches it.
type hub struct {
	join      chan *client
	leave     chan *client
	broadcast chan prepared
}

func (h *hub) run() {
	clients := make(map[*client]bool)
	drop := func(c *client) {
		if clients[c] {
			delete(clients, c)
			close(c.queue)
		}
	}
	for {
		select {
		case c := <-h.join:
			clients[c] = true
		case c := <-h.leave:
			drop(c)
		case message := <-h.broadcast:
			for c := range clients {
				select {
				case c.queue <- message:
				default:
					drop(c)
				}
			}
		}
	}
}

func main() {
	address := flag.String("listen", "127.0.0.1:9001", "where to listen")
	level := flag.Int("compression", 0, "permessage-deflate level 1-9; 0 turns it off")
	direct := flag.Bool("direct", false, "echo from the reading goroutine, without a queue")
	flag.Parse()

	var totals counts
	upgrader := websocket.Upgrader{
		EnableCompression: *level > 0,
		CheckOrigin:       func(*http.Request) bool { return true },
	}
	open := func(w http.ResponseWriter, r *http.Request) *client {
		socket, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return nil
		}
		if *level > 0 {
			socket.SetCompressionLevel(*level)
		}
		totals.Connections.Add(1)
		return &client{socket: socket, counts: &totals}
	}

	h := &hub{join: make(chan *client), leave: make(chan *client), broadcast: make(chan prepared, queueLength)}
	go h.run()

	http.HandleFunc("/ws-notifications", func(w http.ResponseWriter, r *http.Request) {
		c := open(w, r)
		if c == nil {
			return
		}
		if *direct {
			done := make(chan struct{})
			go c.ping(done)
			go func() {
				defer close(done)
				c.read(c.echoDirectly)
			}()
			return
		}
		c.queue = make(chan queued, queueLength)
		go c.write()
		go func() {
			defer close(c.queue)
			c.read(c.echoThroughQueue)
		}()
	})
	http.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		if c := open(w, r); c != nil {
			c.queue = make(chan queued, queueLength)
			h.join <- c
			go c.write()
			go func() {
				defer func() { h.leave <- c }()
				c.read(func(kind int, data []byte) {
					message, err := websocket.NewPreparedMessage(kind, data)
					if err == nil {
						h.broadcast <- prepared{message}
					}
				})
			}()
		}
	})
	http.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]int64{
			"connections": totals.Connections.Load(),
			"received":    totals.Received.Load(),
			"sent":        totals.Sent.Load(),
		})
	})
	log.Fatal(http.ListenAndServe(*address, nil))
}
