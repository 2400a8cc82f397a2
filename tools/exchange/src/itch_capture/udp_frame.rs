//! Ethernet frames of one multicast UDP channel over IPv4 (RFC 768, RFC 791, RFC 1112), VLAN-tagged (IEEE 802.1Q) if wanted.

const SOURCE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
const SOURCE_IP: [u8; 4] = [10, 0, 0, 1];
/// A group for private use (RFC 2365).
const GROUP_IP: [u8; 4] = [239, 192, 0, 1];
const UDP_PORT: u16 = 26_477;
const TIME_TO_LIVE: u8 = 21;
const PROTOCOL_UDP: u8 = 17;

const IP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;

/// Puts the headers of one channel in front of payloads.
pub(super) struct UdpFrames {
    /// All headers, with lengths, identification and checksums at 0.
    headers: Vec<u8>,
    /// Where the IPv4 header begins.
    ip_at: usize,
    identification: u16,
}

impl UdpFrames {
    /// `vlan` is the id of the tag.
    pub(super) fn new(vlan: Option<u16>) -> UdpFrames {
        let [_, second, third, fourth] = GROUP_IP;
        let mut headers = vec![0x01, 0x00, 0x5E, second & 0x7F, third, fourth];
        headers.extend(SOURCE_MAC);
        if let Some(id) = vlan {
            headers.extend([0x81, 0x00]);
            headers.extend(id.to_be_bytes());
        }
        headers.extend([0x08, 0x00]);
        let ip_at = headers.len();
        // Version 4, five words, no fragments.
        headers.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, TIME_TO_LIVE, PROTOCOL_UDP, 0, 0]);
        headers.extend(SOURCE_IP);
        headers.extend(GROUP_IP);
        headers.extend(UDP_PORT.to_be_bytes());
        headers.extend(UDP_PORT.to_be_bytes());
        headers.extend([0; 4]);
        UdpFrames { headers, ip_at, identification: 0 }
    }

    /// Where the payload begins in a frame.
    pub(super) fn payload_at(&self) -> usize {
        self.headers.len()
    }

    /// Empties `frame` and writes the headers; the payload is to be appended.
    pub(super) fn begin(&self, frame: &mut Vec<u8>) {
        frame.clear();
        frame.extend_from_slice(&self.headers);
    }

    /// Fills in lengths, identification and checksums of a frame that [`UdpFrames::begin`] began; at most 65,507 bytes of payload.
    pub(super) fn finish(&mut self, frame: &mut [u8]) {
        let Some((ip, udp)) = frame.get_mut(self.ip_at..).and_then(|ip| ip.split_at_mut_checked(IP_BYTES)) else { return };
        let udp_bytes = udp.len() as u16;
        ip[2..4].copy_from_slice(&(udp_bytes + IP_BYTES as u16).to_be_bytes());
        ip[4..6].copy_from_slice(&self.identification.to_be_bytes());
        self.identification = self.identification.wrapping_add(1);
        let checksum = !folded(sum(ip));
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        if udp.len() < UDP_BYTES {
            return;
        }
        udp[4..6].copy_from_slice(&udp_bytes.to_be_bytes());
        // The pseudo header: both addresses, the protocol and the length.
        let pseudo = sum(&ip[12..20]) + u64::from(PROTOCOL_UDP) + u64::from(udp_bytes);
        let checksum = match !folded(pseudo + sum(udp)) {
            // 0 stands for no checksum; all ones are the same number.
            0 => u16::MAX,
            checksum => checksum,
        };
        udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The sum of big-endian 16-bit words, not folded, zeros behind the last. Two words at a time fold to the same (RFC 1071, 2).
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(last, &byte)| *last = byte);
    words.iter().chain([&last]).map(|&word| u64::from(u32::from_be_bytes(word))).sum()
}

/// A sum with its carries added back in.
fn folded(mut sum: u64) -> u16 {
    while sum > u64::from(u16::MAX) {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}
