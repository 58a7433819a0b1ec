// A WebSocket server around uWebSockets: /ws-notifications echoes, /ws broadcasts to every client, /stats
// counts, so that the bench's client can be checked. One thread, as uWebSockets is used; pings are its own.
//
// usage: server PORT COMPRESSION (0 turns permessage-deflate off; uWebSockets has no choice of level)

#include <cstdio>
#include <cstdlib>
#include <string>

#include "App.h"

struct Counts {
    long connections = 0;
    long received = 0;
    long sent = 0;
};

struct PerSocketData {};

using Behavior = uWS::App::WebSocketBehavior<PerSocketData>;

static Behavior limits(bool deflate) {
    Behavior behavior;
    behavior.compression = deflate ? uWS::SHARED_COMPRESSOR : uWS::DISABLED;
    behavior.maxPayloadLength = 64 * 1024;
    // Its pings follow from the idle time-out: one after about half a minute of silence.
    behavior.idleTimeout = 60;
    behavior.maxBackpressure = 1024 * 1024;
    behavior.closeOnBackpressureLimit = true;
    return behavior;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s PORT COMPRESSION\n", argv[0]);
        return 2;
    }
    const int port = std::atoi(argv[1]);
    const bool deflate = std::atoi(argv[2]) > 0;

    Counts totals;
    uWS::App app;

    Behavior echo = limits(deflate);
    echo.open = [&totals](auto *) { totals.connections += 1; };
    echo.message = [&totals, deflate](auto *socket, std::string_view message, uWS::OpCode kind) {
        totals.received += 1;
        totals.sent += 1;
        socket->send(message, kind, deflate);
    };

    Behavior broadcast = limits(deflate);
    broadcast.open = [&totals](auto *socket) {
        totals.connections += 1;
        socket->subscribe("all");
    };
    broadcast.message = [&totals, &app, deflate](auto *, std::string_view message, uWS::OpCode kind) {
        totals.received += 1;
        totals.sent += app.numSubscribers("all");
        app.publish("all", message, kind, deflate);
    };

    app.ws<PerSocketData>("/ws-notifications", std::move(echo))
        .ws<PerSocketData>("/ws", std::move(broadcast))
        .get("/stats", [&totals](auto *response, auto *) {
            response->end("{\"connections\":" + std::to_string(totals.connections) +
                          ",\"received\":" + std::to_string(totals.received) +
                          ",\"sent\":" + std::to_string(totals.sent) + "}");
        })
        .listen("127.0.0.1", port, [port](auto *socket) {
            if (!socket) {
                std::fprintf(stderr, "cannot listen on port %d\n", port);
                std::exit(1);
            }
        })
        .run();
}
