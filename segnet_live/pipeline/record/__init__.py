"""What runs leave behind: recordings, label maps, statistics, snapshots."""
