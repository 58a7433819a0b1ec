// A WebSocket server around coder/websocket, by the same rules as the peer around gorilla/websocket: a
// reading and a writing goroutine and a queue of 256 messages per connection, a ping every 30 s, a read
// limit of 64 KiB, a hub. coder/websocket has no prepared message, so the hub's messages are framed (and
// compressed) once per receiver.
//
// /ws-notifications echoes, /ws broadcasts to every client, /stats counts, so that the bench's client
// can be checked.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"log"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
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

// A message that waits for the writing goroutine.
type message struct {
	kind websocket.MessageType
	data []byte
}

type client struct {
	socket *websocket.Conn
	queue  chan message
	counts *counts
}

// read hands every message to handle until the connection ends.
func (c *client) read(handle func(message)) {
	c.socket.SetReadLimit(maxMessageSize)
	for {
		kind, data, err := c.socket.Read(context.Background())
		if err != nil {
			return
		}
		c.counts.Received.Add(1)
		handle(message{kind, data})
	}
}

// write sends what is queued, and pings, until the queue is closed or the socket fails.
func (c *client) write() {
	ticker := time.NewTicker(pingInterval)
	defer ticker.Stop()
	defer c.socket.CloseNow()
	for {
		select {
		case queued, open := <-c.queue:
			if !open {
				c.socket.Close(websocket.StatusNormalClosure, "")
				return
			}
			if err := c.send(queued); err != nil {
				return
			}
			c.counts.Sent.Add(1)
		case <-ticker.C:
			// Ping waits for the pong; what is queued must not.
			go c.ping()
		}
	}
}

func (c *client) send(queued message) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeWait)
	defer cancel()
	return c.socket.Write(ctx, queued.kind, queued.data)
}

func (c *client) ping() {
	ctx, cancel := context.WithTimeout(context.Background(), pongWait)
	defer cancel()
	if c.socket.Ping(ctx) != nil {
		c.socket.CloseNow()
	}
}

// The hub owns the set of clients; only its goroutine touches it.
type hub struct {
	join      chan *client
	leave     chan *client
	broadcast chan message
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
		case published := <-h.broadcast:
			for c := range clients {
				select {
				case c.queue <- published:
				default:
					drop(c)
				}
			}
		}
	}
}

func main() {
	address := flag.String("listen", "127.0.0.1:9001", "where to listen")
	deflate := flag.Bool("compression", false, "permessage-deflate without context takeover; the library has one level")
	flag.Parse()

	var totals counts
	options := websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled}
	if *deflate {
		options.CompressionMode = websocket.CompressionNoContextTakeover
		options.CompressionThreshold = 128
	}
	open := func(w http.ResponseWriter, r *http.Request) *client {
		socket, err := websocket.Accept(w, r, &options)
		if err != nil {
			return nil
		}
		totals.Connections.Add(1)
		return &client{socket: socket, queue: make(chan message, queueLength), counts: &totals}
	}

	h := &hub{join: make(chan *client), leave: make(chan *client), broadcast: make(chan message, queueLength)}
	go h.run()

	http.HandleFunc("/ws-notifications", func(w http.ResponseWriter, r *http.Request) {
		if c := open(w, r); c != nil {
			go c.write()
			go func() {
				defer close(c.queue)
				c.read(func(received message) { c.queue <- received })
			}()
		}
	})
	http.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		if c := open(w, r); c != nil {
			h.join <- c
			go c.write()
			go func() {
				defer func() { h.leave <- c }()
				c.read(func(received message) { h.broadcast <- received })
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
