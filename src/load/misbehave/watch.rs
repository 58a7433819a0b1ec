//! Reading for the server's Close frame alone.

use std::future::poll_fn;
use std::io::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::ending::Ending;
use crate::load::link::reading;
use crate::wire::{Decoder, DecoderOptions, Inflater, Input, Opcode, Role, parse_close};

/// Follows the server's frames from the end of the upgrade on and keeps none of them: messages are
/// neither inflated nor put together, pings are not seen.
pub(super) struct Watch {
    decoder: Decoder,
}

impl Watch {
    pub(super) fn new() -> Self {
        let mut decoder = Decoder::new(DecoderOptions {
            role: Role::Client,
            max_message_bytes: 0,
            deflate: None,
        });
        decoder.discard();
        Self { decoder }
    }

    /// Looks at bytes that came; what ends it, if they hold that.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> Option<Ending> {
        reading(|scratch| look(&mut self.decoder, bytes, &mut scratch.inflater))
    }

    /// Reads until the connection ends. Can be given up at any moment and begun again.
    pub(super) async fn until_ended(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Ending {
        poll_fn(|context| self.poll_end(stream, context)).await
    }

    /// The same, once a write has failed: what the server said before is worth more than that, but
    /// where it said nothing, the first error stands. After a RST the write takes the error, and
    /// the read that follows sees an end of the stream.
    pub(super) async fn after_failed_write(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        error: &Error,
    ) -> Ending {
        match self.until_ended(stream).await {
            Ending::EOF => Ending::of(error),
            ending => ending,
        }
    }

    fn poll_end(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<Ending> {
        reading(|scratch| {
            loop {
                let mut read = ReadBuf::new(&mut scratch.buffer);
                if let Err(error) = ready!(Pin::new(&mut *stream).poll_read(context, &mut read)) {
                    return Poll::Ready(Ending::of(&error));
                }
                if read.filled().is_empty() {
                    return Poll::Ready(Ending::EOF);
                }
                if let Some(ending) =
                    look(&mut self.decoder, read.filled_mut(), &mut scratch.inflater)
                {
                    return Poll::Ready(ending);
                }
            }
        })
    }
}

fn look(decoder: &mut Decoder, bytes: &mut [u8], inflater: &mut Inflater) -> Option<Ending> {
    let mut input = Input::new(bytes);
    match decoder.next(&mut input, inflater) {
        Ok(None) => None,
        Ok(Some(frame)) if frame.opcode == Opcode::Close => {
            Some(match parse_close(frame.payload) {
                Ok(close) => Ending::Closed(close.map_or(1005, |(code, _)| code)),
                Err(_) => Ending::ClosedWrongly,
            })
        }
        Ok(Some(_)) | Err(_) => unreachable!("a decoder that discards gives Close frames alone"),
    }
}
